// Package clamd is a child that has messages scanned for viruses by ClamAV's clamd,
// in place of clamav-milter. See docs/children/clamd.md.
//
//	o := clamd.Defaults
//	o.Addresses = []string{"inet:3310@192.0.2.1"}
//	child, err := clamd.New(o) // it does not connect yet
//	…
//	slot := milterkit.Slot{Child: child}
//
// A message is clean only where a clamd that was sent all of it has answered OK:
// whatever else happens is a Fail, and the slot's DefaultAction decides.
package clamd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/baruwa-enterprise/clamd/protocol"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/peer"
	"github.com/milterkit/sdk/milterkit"
)

// The fields that tell the result, as clamav-milter calls them.
const (
	scannedField = "X-Virus-Scanned"
	statusField  = "X-Virus-Status"
)

// child is one clamd child, for all sessions.
type child struct {
	Options
	servers  *peer.List
	versions map[peer.Addr]*version

	inHand atomic.Int64 // bytes of files that are handed to clamd just now
}

// maxInHand bounds the memory of such files. What would be more is sent.
const maxInHand = 64 << 20

// New returns a child that has each message scanned. It does not connect.
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
	c := &child{Options: o, servers: peer.NewList(addrs, o.Clock), versions: newVersions(addrs)}
	return c, nil
}

// Name implements [milterkit.Child].
func (c *child) Name() string { return "clamd" }

// Hooks implements [milterkit.Child].
func (c *child) Hooks() milterkit.Hooks { return milterkit.Hooks{Message: action.Bounded(c.message)} }

// Probe returns which clamds do not answer, and why.
func (c *child) Probe(ctx context.Context) error {
	return c.servers.Probe(ctx, command(protocol.Ping), "PONG")
}

// message has a message scanned.
func (c *child) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	open := m.Reader
	size, err := io.Copy(io.Discard, m.Reader()) // no byte is copied
	if err != nil {
		return milterkit.Fail(err)
	}
	large := size > c.MaxSize
	if large {
		c.log(ctx, m, slog.LevelWarn, "too large to be scanned", "size", size, "max_size", c.MaxSize)
		switch c.Oversize {
		case "reject":
			return milterkit.Reply(552, fmt.Sprintf("5.3.4 Message too large to be scanned for viruses: %d bytes, %d at most", size, c.MaxSize))
		case "tempfail":
			return milterkit.TempFail(fmt.Sprintf("4.3.4 Message too large to be scanned for viruses: %d bytes, %d at most", size, c.MaxSize))
		}
		size = c.MaxSize
		open = func() io.Reader { return io.LimitReader(m.Reader(), c.MaxSize) }
	}
	virus, by, err := c.scan(ctx, open, size)
	switch {
	case err != nil:
		return milterkit.Fail(fmt.Errorf("not scanned: %w", err))
	case virus != "":
		return c.infected(ctx, m, e, virus, by)
	case large:
		c.tooLarge(e)
	default:
		c.mark(ctx, m, e, by, "Clean")
	}
	return milterkit.Continue
}

// infected deals with a message that has a virus.
func (c *child) infected(ctx context.Context, m *milterkit.Message, e *milterkit.Edits, virus string, by peer.Addr) milterkit.Verdict {
	c.log(ctx, m, slog.LevelInfo, "infected", "virus", virus, "becomes", c.Infected, "clamd", by.String())
	switch c.Infected {
	case "reject":
		return milterkit.Reject(refusal(c.Text, virus))
	case "discard":
		return milterkit.Discard
	case "quarantine":
		e.Quarantine("Infected with " + virus)
	}
	c.mark(ctx, m, e, by, "Infected", "("+virus+")")
	return milterkit.Continue
}

// tooLarge marks a message that was not scanned as a whole.
func (c *child) tooLarge(e *milterkit.Edits) {
	if c.Oversize == "quarantine" {
		e.Quarantine("Too large to be scanned for viruses")
	}
	if c.Headers {
		e.DeleteHeaders(scannedField)
		e.SetHeader(statusField, "Not scanned (too large)")
	}
}

// mark puts the result into the header.
func (c *child) mark(ctx context.Context, m *milterkit.Message, e *milterkit.Edits, by peer.Addr, status ...string) {
	if !c.Headers {
		return
	}
	scanner := []string{"clamd"}
	if version := c.versions[by].of(ctx, by, c.Clock); version != "" {
		scanner = append(scanner, version)
	}
	e.SetHeader(scannedField, folded(scannedField, append(scanner, "at", here(m))...))
	e.SetHeader(statusField, folded(statusField, status...))
}

// here is the name of this mail server.
func here(m *milterkit.Message) string {
	name := m.MTAName()
	if name == "" {
		name, _ = os.Hostname()
	}
	return virusName(name)
}

// refusal is the text of a refusal, with the name of the virus.
func refusal(text, virus string) string { return strings.ReplaceAll(text, "%v", virus) }

// maxLine is the length of a line of the header beyond which it is folded.
const maxLine = 77

// folded makes a field's value of words, on lines as short as can be where one would
// be too long.
func folded(name string, words ...string) string {
	value, line := words[0], len(name)+2+len(words[0])
	for _, word := range words[1:] {
		if line+1+len(word) > maxLine {
			value, line = value+"\n\t"+word, 8+len(word)
		} else {
			value, line = value+" "+word, line+1+len(word)
		}
	}
	return value
}

// log tells of a message.
func (c *child) log(ctx context.Context, m *milterkit.Message, level slog.Level, text string, args ...any) {
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	log.With("session", m.ID, "queue_id", m.QueueID(), "from", m.Sender.Addr).Log(ctx, level, text, args...)
}
