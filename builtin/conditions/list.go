package conditions

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/builtin/internal/watch"
	"github.com/milterkit/sdk/milterkit"
)

// A List is a file of domains, addresses of mail, and networks, one on a line. It is
// read anew when it has changed, within a second; while it cannot be read, what it
// held before stays in use, and the log says so.
//
//	# to the end of a line is a comment
//	example.org       this domain, and all addresses in it
//	.example.net      this domain and all below it
//	bob@example.com   one address
//	192.0.2.0/24      a network, or one address of IPv4 or IPv6
//
// Capitals make no difference.
type List struct{ file watch.File[*entries] }

// OpenList reads a list. An error names the lines that are of no use, each in an
// error of its own where they are several (see errors.Join). now is the clock; nil:
// time.Now.
func OpenList(path string, now func() time.Time) (*List, error) {
	l := &List{watch.File[*entries]{Path: path, Read: readEntries, Now: now, Who: "list"}}
	if _, err := l.file.Get(); err != nil {
		return nil, err
	}
	return l, nil
}

// Has reports whether the list has an address of mail, the name of a host, or an IP
// address, whichever the text is.
func (l *List) Has(text string) bool {
	e, err := l.file.Get()
	if err != nil {
		return false
	}
	if !strings.Contains(text, "@") && (strings.Contains(text, ":") || numeric(text)) { // "a:b"@example.org is an address of mail
		addr, ok := ParseAddr(text)
		return ok && e.hasAddr(addr)
	}
	return e.hasName(text)
}

// Client holds for clients of which the list has the address, or the name that the
// MTA has found, unless it does not vouch for that. It is settled at connect.
func (l *List) Client() milterkit.Condition {
	return l.condition("client", milterkit.StageConnect, func(e *milterkit.Envelope, _ milterkit.Address) bool {
		return l.Has(e.Addr) || vouched(e.Session) && l.Has(e.Host)
	})
}

// vouched reports whether the MTA vouches for the client's name. Sendmail has a name
// also where that does not lead back to the client's address, as anybody can have
// any, and says so in a macro; Postfix has none then.
func vouched(s *milterkit.Session) bool {
	resolve := s.Macro("client_resolve")
	return resolve == "" || resolve == "OK"
}

// Sender holds for senders that the list has, or whose domain. It is settled at mail.
func (l *List) Sender() milterkit.Condition {
	return l.condition("mail_from", milterkit.StageMail, func(e *milterkit.Envelope, _ milterkit.Address) bool { return l.Has(e.Sender.Addr) })
}

// Recipient holds for recipients that the list has, or whose domain. It is settled
// for each.
func (l *List) Recipient() milterkit.Condition {
	return l.condition("rcpt_to", milterkit.StageRcpt, func(_ *milterkit.Envelope, to milterkit.Address) bool { return l.Has(to.Addr) })
}

func (l *List) condition(what string, at milterkit.Stage, has func(*milterkit.Envelope, milterkit.Address) bool) milterkit.Condition {
	return milterkit.Condition{Name: what + " in " + filepath.Base(l.file.Path), At: at,
		Holds: func(_ context.Context, e *milterkit.Envelope, to milterkit.Address) bool { return has(e, to) }}
}

// entries are what a list holds.
type entries struct {
	names    map[string]bool // domains and addresses; true: with all below it
	networks map[netip.Prefix]struct{}
	lengths  []lengthOf // of the networks
}

// A lengthOf is the length of some network, of IPv4 or of IPv6.
type lengthOf struct {
	is4  bool
	bits int
}

func (e *entries) addNetwork(p netip.Prefix) {
	e.networks[p] = struct{}{}
	if l := (lengthOf{p.Addr().Is4(), p.Bits()}); !slices.Contains(e.lengths, l) {
		e.lengths = append(e.lengths, l)
	}
}

func (e *entries) hasAddr(addr netip.Addr) bool {
	for _, l := range e.lengths {
		if l.is4 != addr.Is4() {
			continue
		}
		p, _ := addr.Prefix(l.bits)
		if _, ok := e.networks[p]; ok {
			return true
		}
	}
	return false
}

// hasName looks up an address of mail or the name of a host.
func (e *entries) hasName(text string) bool {
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	name := text
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		name = text[at+1:]
	}
	if strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) >= 0 {
		ascii, err := domain.ASCII(name)
		if err != nil {
			return false
		}
		text, name = text[:len(text)-len(name)]+ascii, ascii
	}
	if _, ok := e.names[text]; ok && text != "" {
		return true
	}
	if _, ok := e.names[name]; ok && name != "" {
		return true
	}
	for found := true; found; {
		if _, name, found = strings.Cut(name, "."); found && e.names[name] {
			return true
		}
	}
	return false
}
