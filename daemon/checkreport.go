package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/milterkit"
)

// A checkReport is what check has to tell of a configuration.
type checkReport struct {
	config   *config.Config
	faults   config.Errors
	warnings []string
	slots    []milterkit.Slot // none where no server could be made
	probes   []probe
	asked    bool
	errs     []error // of the probes
}

// ask asks the milters, and what native children ask.
func (r *checkReport) ask() (answers map[string]doctor.Answer) {
	r.asked = true
	answers = askRemotes(context.Background(), r.config)
	r.errs = askAll(context.Background(), r.probes)
	return answers
}

func (r *checkReport) print(w io.Writer) {
	for _, note := range r.warnings {
		fmt.Fprintln(w, "warning:", note)
	}
	if len(r.faults) == 0 {
		fmt.Fprintln(w, goodNews(r.config))
	}
	for _, slot := range r.slots {
		if slot.When.Holds != nil {
			fmt.Fprintln(w, takesPart(slot))
		}
	}
	if r.asked {
		tellOfProbes(w, r.probes, r.errs)
	}
}

type (
	// checkJSON is what check prints with --json.
	checkJSON struct {
		Good     bool          `json:"good"`
		Errors   []checkError  `json:"errors"`
		Warnings []string      `json:"warnings"`
		Listen   []string      `json:"listen"`
		Milters  []checkMilter `json:"milters"`
	}
	// checkError is what is wrong at one place.
	checkError struct {
		File    string `json:"file,omitempty"`
		Line    int    `json:"line,omitempty"`
		Column  int    `json:"column,omitempty"`
		Message string `json:"message"`
	}
	// checkMilter is a milter that is enabled.
	checkMilter struct {
		Name    string `json:"name"`
		When    string `json:"when,omitempty"`
		Settled string `json:"settled,omitempty"` // the stage
		Answers *bool  `json:"answers,omitempty"` // absent: it was not asked
		Error   string `json:"error,omitempty"`   // why it does not answer
	}
)

// errorsOf takes an error of a configuration apart.
func errorsOf(err error) []checkError {
	var faults config.Errors
	if !errors.As(err, &faults) {
		return []checkError{{Message: err.Error()}}
	}
	all := make([]checkError, len(faults))
	for i, f := range faults {
		all[i] = checkError{f.File, f.Line, f.Column, f.Message}
	}
	return all
}

func (r *checkReport) json(w io.Writer) error {
	out := checkJSON{Good: len(r.faults) == 0, Errors: []checkError{}, Warnings: append([]string{}, r.warnings...), Listen: []string{}, Milters: []checkMilter{}}
	if !out.Good {
		out.Errors = errorsOf(r.faults)
	}
	for _, s := range r.config.Server.Listen.V {
		out.Listen = append(out.Listen, s.String())
	}
	settled := map[string]string{}
	for _, slot := range r.slots {
		if slot.When.Holds != nil {
			settled[slot.Child.Name()] = settledAt(slot)
		}
	}
	for _, m := range r.config.Enabled() {
		one := checkMilter{Name: m.Name.V, When: m.When.V, Settled: settled[m.Name.V]}
		for i, err := range r.errs {
			if r.probes[i].name != m.Name.V {
				continue
			}
			answers := err == nil
			if one.Answers = &answers; err != nil {
				one.Error = err.Error()
			}
		}
		out.Milters = append(out.Milters, one)
	}
	return printJSON(w, out)
}
