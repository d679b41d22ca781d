// Package spamd is a child that asks SpamAssassin's daemon, spamd, what it thinks of
// a message: it refuses spam, or tags it. It takes the place of spamass-milter.
package spamd

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/letter"
	"github.com/milterkit/sdk/builtin/internal/peer"
	"github.com/milterkit/sdk/milterkit"
)

// filter is the child, for all sessions.
type filter struct {
	Options
	servers *peer.List
	hooks   milterkit.Hooks
}

// New makes the child. It does not look whether spamd is there: a spamd that does
// not answer, or not as it should, is a failure for the message at hand.
func New(o Options) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	addrs, err := peer.ParseAll(o.Addresses)
	if err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	f := &filter{Options: o, servers: peer.NewList(addrs, o.Clock)}
	f.hooks = milterkit.Hooks{
		Message: action.Bounded(f.message),
		Prompt:  true, // it waits for spamd only, until ctx is done
	}
	return f, nil
}

// Name implements [milterkit.Child].
func (f *filter) Name() string { return "spamd" }

// Hooks implements [milterkit.Child].
func (f *filter) Hooks() milterkit.Hooks { return f.hooks }

// Probe returns which servers do not answer, and why.
func (f *filter) Probe(ctx context.Context) error {
	return f.servers.Probe(ctx, "PING SPAMC/1.2\r\n\r\n", "SPAMD/")
}

func (f *filter) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	l := letter.New(m, envelope(m, f.Clock()), isOurs)
	if f.MaxSize > 0 && l.Size() > f.MaxSize {
		f.logger().Info("message not shown to spamd: it is too big", "session", m.ID, "queue_id", m.QueueID(), "size", l.Size(), "max_size", f.MaxSize)
		write(m, e, nil)
		return milterkit.Continue
	}
	var r *result
	user := f.user(m.Recipients)
	err := f.servers.Try(ctx, func(ctx context.Context, server peer.Addr) (err error) {
		r, err = ask(ctx, server, l, user, f.Timeout)
		return err
	})
	if err != nil {
		return milterkit.Fail(err)
	}
	return f.decide(m, e, r)
}

// decide does what the options say about a message with that result.
func (f *filter) decide(m *milterkit.Message, e *milterkit.Edits, r *result) milterkit.Verdict {
	if f.RejectScore > 0 && r.score >= f.RejectScore {
		return milterkit.Reject(f.RejectText)
	}
	var fields []field
	if f.Tag == tagAll || f.Tag == tagSpam && r.spam {
		fields = r.fields()
	}
	write(m, e, fields)
	if r.spam && f.Subject != "" {
		markSubject(m, e, f.Subject)
	}
	return milterkit.Continue
}

// user returns whose preferences spamd uses for a message; "": its own.
func (f *filter) user(to []milterkit.Address) string {
	var name string
	switch {
	case f.User != userRecipient && f.User != userLocalPart:
		return f.User
	case len(to) != 1:
		return f.DefaultUser
	case f.User == userRecipient:
		name = to[0].Addr
	default:
		name, _, _ = strings.Cut(to[0].Local(), "+")
	}
	if name = strings.ToLower(name); !isUser(name) {
		return f.DefaultUser
	}
	return name
}

func (f *filter) logger() *slog.Logger {
	if f.Logger != nil {
		return f.Logger
	}
	return slog.Default()
}
