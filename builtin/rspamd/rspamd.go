// Package rspamd is a child that asks rspamd what it thinks of a message, and does
// what it says: it refuses the message, puts it off, marks it, or changes its header.
// It takes the place of rspamd_proxy as a milter.
package rspamd

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

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

// New makes the child. It does not look whether rspamd is there: one that does not
// answer, or not as it should, is a failure for the message at hand.
func New(o Options) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	addrs, err := peer.ParseAll(o.Addresses)
	if err != nil {
		return nil, err
	}
	f := &filter{Options: o, servers: peer.NewList(addrs, nil)}
	f.hooks = milterkit.Hooks{
		Message: action.Bounded(f.message),
		Prompt:  true, // it waits for rspamd only, until ctx is done
	}
	return f, nil
}

// Name implements [milterkit.Child].
func (f *filter) Name() string { return "rspamd" }

// Hooks implements [milterkit.Child].
func (f *filter) Hooks() milterkit.Hooks { return f.hooks }

// Probe returns which servers do not answer, and why.
func (f *filter) Probe(ctx context.Context) error {
	return f.servers.Probe(ctx, "GET /ping HTTP/1.0\r\n\r\n", "pong")
}

func (f *filter) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	l := letter.New(m, "", nil)
	if f.MaxSize > 0 && l.Size() > f.MaxSize {
		f.logger().Info("message not shown to rspamd: it is too big", "session", m.ID, "queue_id", m.QueueID(), "size", l.Size(), "max_size", f.MaxSize)
		newEditor(m, e).removeAll()
		return milterkit.Continue
	}
	var a *answer
	err := f.servers.Try(ctx, func(ctx context.Context, server peer.Addr) (err error) {
		a, err = ask(ctx, server, requestHeader(m, f.Password), l, f.Timeout)
		return err
	})
	if err != nil {
		return milterkit.Fail(err)
	}
	return f.obey(m, e, a)
}

// What rspamd's own milter says. Source: milter_internal.h.
const (
	rejectText     = "Spam message rejected"
	tempFailText   = "Try again later"
	quarantineText = "Spam message quarantined"
)

// obey does what rspamd says. Source: rspamd_milter_send_task_results.
func (f *filter) obey(m *milterkit.Message, e *milterkit.Edits, a *answer) milterkit.Verdict {
	d := newEditor(m, e)
	d.block(&a.Milter)
	for i, signature := range a.DKIM {
		e.InsertHeader(i+1, "DKIM-Signature", lines(signature))
	}
	if a.newBody {
		e.ReplaceBody(a.body)
	}
	if a.Milter.NoAction {
		e.AddHeader("X-Rspamd-Action", letter.Clean(*a.Action, 100))
		return milterkit.Continue
	}
	switch *a.Action {
	case "no action", "accept", "greylist":
		// Rspamd's greylisting says "soft reject" where a message is to wait.
	case "reject":
		return f.reject(e, a)
	case "soft reject":
		return milterkit.Reply(451, "4.7.1 "+or(letter.Clean(a.Messages.smtp, maxReply), tempFailText))
	case "add header":
		return d.mark(a.Milter.SpamHeader)
	case "rewrite subject":
		if a.Subject != nil {
			e.ChangeHeader("Subject", 1, lines(*a.Subject))
		}
	case "quarantine":
		e.Quarantine(quarantineText)
	case "discard":
		return milterkit.Discard
	default:
		return milterkit.Fail(fmt.Errorf("rspamd wants the action %q, which is not known here", letter.Clean(*a.Action, 100)))
	}
	return milterkit.Continue
}

// maxReply bounds the text that the client is told, in bytes.
const maxReply = 400

// reject refuses the message, or does what rspamd wants in place of that.
func (f *filter) reject(e *milterkit.Edits, a *answer) milterkit.Verdict {
	switch a.Milter.Reject {
	case "discard":
		return milterkit.Discard
	case "quarantine":
		e.Quarantine(quarantineText)
		return milterkit.Continue
	}
	return milterkit.Reply(554, "5.7.1 "+or(letter.Clean(a.Messages.smtp, maxReply), rejectText))
}

// mark marks the message as spam: with X-Spam, or the fields that rspamd names.
func (d *editor) mark(spamHeader json.RawMessage) milterkit.Verdict {
	var value string
	var fields members
	switch {
	case len(spamHeader) == 0:
		d.set(spamField, "Yes")
	case json.Unmarshal(spamHeader, &value) == nil:
		d.set(spamField, or(value, "Yes"))
	case json.Unmarshal(spamHeader, &fields) == nil && fields != nil:
		for _, f := range fields {
			if json.Unmarshal(f.value, &value) == nil {
				d.set(f.name, value)
			}
		}
	default:
		d.set(spamField, "Yes")
	}
	return milterkit.Continue
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (f *filter) logger() *slog.Logger {
	if f.Logger != nil {
		return f.Logger
	}
	return slog.Default()
}
