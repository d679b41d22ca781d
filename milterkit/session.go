package milterkit

import (
	"iter"
	"net/netip"
	"strings"

	"github.com/emersion/go-milter"
)

// Family is the kind of address that a client has (SMFIA_*).
type Family = milter.ProtoFamily

// The families of a client's address.
const (
	FamilyUnknown = milter.FamilyUnknown // the MTA does not know it
	FamilyUnix    = milter.FamilyUnix    // a local client, on a unix socket
	FamilyInet    = milter.FamilyInet    // IPv4
	FamilyInet6   = milter.FamilyInet6   // IPv6
)

// A Session is what is known of the SMTP client so far. Its strings are safe
// to keep.
type Session struct {
	ID     uint64 // no other session of the Dispatcher has it; stands in every log line
	Host   string // the client's name as the MTA found it, or "[192.0.2.1]"
	Family Family // zero before Connect
	Addr   string // the address as it came: "192.0.2.1", "IPv6:2001:db8::1", a path
	Port   uint16 // of the client; 0 where the family has none
	Helo   string // the argument of the last HELO or EHLO

	// Actions is what this MTA lets a filter do to a message.
	Actions Actions

	macros macroLists
}

// Client returns the client's address and port; it is not valid where the
// client is not on an IP network.
func (s *Session) Client() netip.AddrPort {
	// Sendmail writes "IPv6:2001:db8::1", Postfix the bare address.
	text := s.Addr
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), s.Port)
}

// AuthUser returns the name under which the client has authenticated, or "".
func (s *Session) AuthUser() string { return s.Macro("auth_authen") }

// TLSVersion returns the version of TLS that the client speaks, such as
// "TLSv1.3", or "".
func (s *Session) TLSVersion() string { return s.Macro("tls_version") }

// MTAName returns the name by which the MTA calls itself, or "".
func (s *Session) MTAName() string { return s.Macro("j") }

// Daemon returns the name of the MTA's service that the client speaks with, as
// the MTA's configuration has it, or "".
func (s *Session) Daemon() string { return s.Macro("daemon_name") }

// Macro returns the value that the MTA gave last for a macro, or "". The name
// may stand with or without its braces: "i", "auth_authen", "{auth_authen}".
func (s *Session) Macro(name string) string { return s.macros.get(name) }

// Macros yields the macros that the MTA sent for a stage, in its order and
// with its spelling of the names.
func (s *Session) Macros(at Stage) iter.Seq2[string, string] {
	var list []macro
	if at < stages {
		list = s.macros[at]
	}
	return func(yield func(string, string) bool) {
		for _, m := range list {
			if !yield(m.name, m.value) {
				return
			}
		}
	}
}

// macroLists holds the macros of each stage. A list is never changed once it
// is set, so copies may share it.
type macroLists [stages][]macro

type macro struct{ name, value string }

// get looks a name up from the last stage back to the first.
// Source: libmilter's smfi_getsymval.
func (l *macroLists) get(name string) string {
	for st := StageMessage; st >= StageConnect; st-- {
		if value := l.at(st, name); value != "" {
			return value
		}
	}
	return ""
}

// at looks a name up at one stage.
func (l *macroLists) at(st Stage, name string) string {
	for _, m := range l[st] {
		if bare(m.name) == bare(name) {
			return m.value
		}
	}
	return ""
}

// set replaces the list of a stage.
func (l *macroLists) set(at Stage, list []macro) { l[at] = list }

// clear forgets the lists of all stages after at.
// Source: libmilter's mi_clr_macros, at CONNECT, HELO, MAIL and RCPT.
func (l *macroLists) clear(at Stage) {
	for st := at + 1; st < stages; st++ {
		l[st] = nil
	}
}

// bare strips the braces of a macro's name.
func bare(name string) string {
	if len(name) > 2 && name[0] == '{' && name[len(name)-1] == '}' {
		return name[1 : len(name)-1]
	}
	return name
}

// An Envelope is a Session with a mail transaction under way. Its strings are
// safe to keep.
type Envelope struct {
	*Session
	Sender Address

	// Recipients are those taken so far: by the MTA, by every child, and, where the child's slot has a
	// condition on recipients, by that. Its elements are not to be changed.
	Recipients []Address

	earlier []saying
}

// QueueID returns the MTA's name for the message, or "" while it has none.
// Postfix has one from DATA on, Sendmail from the start of the session.
func (e *Envelope) QueueID() string { return e.Macro("i") }
