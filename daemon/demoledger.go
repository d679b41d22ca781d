package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// A demoLedger takes what a Dispatcher logs, and has for each message what each
// child said.
type demoLedger struct {
	messages chan []demoLine
}

// A demoLine is what one child said of a message.
type demoLine struct{ child, said string }

func newDemoLedger() *demoLedger {
	return &demoLedger{messages: make(chan []demoLine, 100)} // more than the demo has messages
}

// Enabled, WithAttrs and WithGroup are for slog.
func (l *demoLedger) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// WithAttrs is not used by a Dispatcher.
func (l *demoLedger) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup is not used by a Dispatcher.
func (l *demoLedger) WithGroup(string) slog.Handler { return l }

// Handle takes one record; that of a message has a group with what each child
// said.
func (l *demoLedger) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "message" {
		return nil
	}
	lines := []demoLine{}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "milters" {
			for _, child := range a.Value.Group() {
				lines = append(lines, demoLine{child.Key, child.Value.String()})
			}
		}
		return true
	})
	l.messages <- lines
	return nil
}

// next waits for the record of the next message, which is written when all is
// over.
func (l *demoLedger) next(ctx context.Context) ([]demoLine, error) {
	select {
	case lines := <-l.messages:
		return lines, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(10 * time.Second):
		return nil, errors.New("nothing was logged of the message")
	}
}
