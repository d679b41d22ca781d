package bench

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// A Mux is milterkit with children behind it.
type Mux struct {
	Children  []Child
	MaxMemory int64 // as in milterkit.Server
}

// A Child is one child: a remote one, where it has an address, or a native one
// that does no work.
type Child struct {
	Remote   Addr
	Delay    time.Duration // of a native one
	Together bool
}

// idle is a native child that looks at everything and says continue.
type idle struct {
	name  string
	delay time.Duration
}

func (c idle) Name() string { return c.name }

func (c idle) Hooks() milterkit.Hooks {
	return milterkit.Hooks{
		Connect: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Continue },
		Helo:    func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Continue },
		Mail:    func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
		Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
			return milterkit.Continue
		},
		Data:   func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
		Header: func(context.Context, *milterkit.Message) milterkit.Verdict { return milterkit.Continue },
		Body:   func(context.Context, *milterkit.Message, []byte) milterkit.Verdict { return milterkit.Continue },
		Message: func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
			if c.delay > 0 {
				time.Sleep(c.delay)
			}
			return milterkit.Continue
		},
	}
}

// server returns a server that does as the daemon does, log line and all.
func (s *Mux) server() (*milterkit.Server, error) {
	debug.SetGCPercent(50) // as the daemon does
	var slots []milterkit.Slot
	for i, c := range s.Children {
		name := "child" + strconv.Itoa(i+1)
		slot := milterkit.Slot{Child: idle{name, c.Delay}, Together: c.Together && i > 0}
		if c.Remote != (Addr{}) {
			slot.Child = &remote.Milter{Label: name, Network: c.Remote.Network, Addr: c.Remote.Addr}
		}
		slots = append(slots, slot)
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	d.Logger = slog.New(slog.NewTextHandler(log, nil))
	return &milterkit.Server{Dispatcher: d, MaxMemory: s.MaxMemory}, nil
}
