package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// probeTime bounds the question whether a milter is there.
const probeTime = 2 * time.Second

// A prober is a child that can tell whether what it asks is there. *remote.Milter is
// one, and so can native children be.
type prober interface{ Probe(context.Context) error }

// A probe is a child that is asked.
type probe struct {
	prober
	name  string
	where string // its socket; "" for a native child, which names those that it asks
}

// ask asks whether it is there. Where this process may not connect, the error says
// why not, and what would let it.
func (p probe) ask(ctx context.Context) error {
	err := p.Probe(ctx)
	if at, ok := strings.CutPrefix(p.where, "unix:"); ok && errors.Is(err, fs.ErrPermission) {
		if why := doctor.Denied(at); why != "" {
			err = fmt.Errorf("%w; %s", err, why)
		}
	}
	return err
}

// probesOf returns those of a configuration's children that can be asked.
func probesOf(children []milterkit.Child) []probe {
	var all []probe
	for _, child := range children {
		inner := child
		if n, native := child.(named); native {
			inner = n.Child
		}
		p, can := inner.(prober)
		if !can {
			continue
		}
		one := probe{prober: p, name: child.Name()}
		if m, ok := inner.(*remote.Milter); ok {
			one.where = config.Socket{Network: m.Network, Addr: m.Addr}.String()
		}
		all = append(all, one)
	}
	return all
}

// askAll asks all at the same time, and returns what each had against it.
func askAll(ctx context.Context, probes []probe) []error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	errs := make([]error, len(probes))
	var work sync.WaitGroup
	for i, p := range probes {
		work.Go(func() { errs[i] = p.ask(ctx) })
	}
	work.Wait()
	return errs
}

// tellOfProbes tells what those say that were asked.
func tellOfProbes(stdout io.Writer, probes []probe, errs []error) {
	for i, err := range errs {
		on := ""
		if probes[i].where != "" {
			on = " on " + probes[i].where
		}
		switch {
		case err != nil && on != "":
			fmt.Fprintf(stdout, "warning: %s does not answer%s: %v\n", probes[i].name, on, err)
		case err != nil:
			fmt.Fprintf(stdout, "warning: %s has no answer: %v\n", probes[i].name, err)
		case on == "":
			fmt.Fprintf(stdout, "%s has answers from all that it asks\n", probes[i].name)
		default:
			fmt.Fprintf(stdout, "%s answers%s\n", probes[i].name, on)
		}
	}
}
