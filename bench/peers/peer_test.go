package main

import (
	"errors"
	"testing"
	"time"

	"github.com/milterkit/sdk/bench"
)

func newLab(t *testing.T) *bench.Lab {
	t.Helper()
	lab, err := bench.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// Each peer says continue to a mail of several chunks, and its CPU is counted.
func TestEachPeerTakesMail(t *testing.T) {
	for _, p := range peers {
		t.Run(p.Name, func(t *testing.T) {
			lab := newLab(t)
			at, part, err := p.start(t.Context(), lab)
			if err != nil {
				t.Fatal(err)
			}
			mail, err := bench.MailNamed(bench.Mails, "100KB")
			if err != nil {
				t.Fatal(err)
			}
			c := &bench.Contest{Contestants: []*bench.Contestant{{Name: "it", Addrs: []bench.Addr{at}, Filters: []*bench.Part{part}}},
				Mails: []bench.Mail{mail}, Messages: 2, Sessions: 2, Rounds: 1, Time: 20 * time.Millisecond}
			got, err := c.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s := got["it"][0]; s.Messages == 0 || s.Refused > 0 || s.Filters <= 0 {
				t.Errorf("%d messages, %d refused, %v s of CPU a message", s.Messages, s.Refused, s.Filters)
			}
		})
	}
}

// Without a C compiler the filter in C is left out, with what installs it.
func TestNoCompilerIsToldWithTheCure(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := compile(t.Context(), t.TempDir())
	lacks := (*missing)(nil)
	if !errors.As(err, &lacks) || lacks.cure != cureC {
		t.Errorf("got %v", err)
	}
}

// Without libmilter's headers, too.
func TestNoLibmilterIsToldWithTheCure(t *testing.T) {
	keep := filterC
	t.Cleanup(func() { filterC = keep })
	filterC = []byte("#include <libmilter/no-such-header.h>\n")
	_, err := compile(t.Context(), t.TempDir())
	lacks := (*missing)(nil)
	if !errors.As(err, &lacks) || lacks.cure != cureC {
		t.Errorf("got %v", err)
	}
}

// A peer that nobody knows is an error.
func TestAPeerHasAName(t *testing.T) {
	if err := runPart("nobody's", t.TempDir()+"/s"); err == nil {
		t.Error("no error")
	}
}
