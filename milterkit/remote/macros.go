package remote

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A Macro is one that a milter is sent besides those of the MTA, or in the place of
// the one of that name. No other child sees it.
type Macro struct {
	Name string          // as it is sent: "i", "{if_addr}"
	At   milterkit.Stage // with which it is sent: StageConnect, StageHelo, StageMail or StageRcpt

	// Value returns the value, or false where there is nothing to be sent. The
	// milter waits for it, so it must return soon after ctx is done. At connect and
	// helo the envelope has only its Session; to is the zero Address but at rcpt.
	Value func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) (value string, ok bool)

	// Needs names the MTA's macros at which Value looks, by stage, spelt as the MTA
	// does.
	Needs map[milterkit.Stage][]string
}

// A pair is a macro as it is sent.
type pair struct{ name, value string }

// own returns the values of the milter's own macros of a stage.
func (c *conn) own(ctx context.Context, e *milterkit.Envelope, to milterkit.Address, at milterkit.Stage) (own []pair) {
	for i := range c.m.Macros {
		m := &c.m.Macros[i]
		if m.At != at {
			continue
		}
		if value, ok := m.Value(ctx, e, to); ok {
			own = append(own, pair{m.Name, value})
		}
	}
	return own
}

// ownOfSession is own before there is an envelope.
func (c *conn) ownOfSession(ctx context.Context, s *milterkit.Session, at milterkit.Stage) []pair {
	if len(c.m.Macros) == 0 {
		return nil
	}
	return c.own(ctx, &milterkit.Envelope{Session: s}, milterkit.Address{}, at)
}

// macros appends the macros of a stage, as they go before its command. They
// are sent for a command that is left out too: the milter may ask for them
// later. For one that its version does not have they are not. A milter that has
// asked for a list at that stage is sent what is on it, in its order and
// spelling; another one all that the MTA has sent. After that come its own, which
// it is sent in any case.
func (c *conn) macros(cmd byte, s *milterkit.Session, at milterkit.Stage, own []pair) {
	if cmd == wire.CmdData && c.answer.Version < 4 || cmd == wire.CmdUnknown && c.answer.Version < 3 {
		return
	}
	out, n := wire.BeginMacros(c.out, cmd), 0
	if names := c.lists[at]; len(names) > 0 {
		for _, want := range names {
			for name, value := range s.Macros(at) {
				if sameMacro(name, want) && !has(own, want) {
					out, n = wire.AppendMacro(out, want, value), n+1
					break
				}
			}
		}
	} else {
		for name, value := range s.Macros(at) {
			if !has(own, name) {
				out, n = wire.AppendMacro(out, name, value), n+1
			}
		}
	}
	for _, m := range own {
		out, n = wire.AppendMacro(out, m.name, m.value), n+1
	}
	if bit := uint16(1) << at; len(own) > 0 {
		c.owned |= bit
	} else if n == 0 && c.owned&bit != 0 {
		out, n = c.unset(out, at), 1
	}
	if n > 0 {
		c.out = wire.EndMacros(out, len(c.out))
	}
}

// unset appends the milter's own macros of a stage without a value. Where nothing is
// sent the milter keeps what it was sent the last time, of another message.
// Source: libmilter's st_macros, which takes no list without a name either.
func (c *conn) unset(out []byte, at milterkit.Stage) []byte {
	for i := range c.m.Macros {
		if m := &c.m.Macros[i]; m.At == at {
			out = wire.AppendMacro(out, m.Name, "")
		}
	}
	return out
}

// has reports whether a macro is one of these.
func has(own []pair, name string) bool {
	for i := range own {
		if sameMacro(own[i].name, name) {
			return true
		}
	}
	return false
}

// sameMacro reports whether two names are the same but for their braces.
func sameMacro(a, b string) bool { return strings.Trim(a, "{}") == strings.Trim(b, "{}") }

// wanted returns what the MTA is to be asked for: what the milter would like to have,
// and what its own macros need. Sessions share the result, so it is never changed in
// place.
func (m *Milter) wanted(lists map[milterkit.Stage][]string) map[milterkit.Stage][]string {
	all := maps.Clone(lists)
	for i := range m.Macros {
		for at, names := range m.Macros[i].Needs {
			if all == nil {
				all = map[milterkit.Stage][]string{}
			}
			all[at] = slices.Concat(all[at], names)
		}
	}
	return all
}
