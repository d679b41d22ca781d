package test

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// pair is a native child and the daemons that it replaces.
type pair struct {
	name string

	// replaces are the names of the daemons. Those are asked by Postfix one after
	// another, ours by a milterkit.
	replaces      []string
	daemons, ours []stack.Child

	// read is what of a delivered message's header is compared.
	read func(header string) []string

	// same is what of it must be the same, without exception.
	same func(header string) string

	// text says that a refusal has the same text, too.
	text bool

	// messages are those of the corpus that are sent.
	messages func(s *specimen) bool
}

// The ways to the two sides of a pair.
var (
	theDaemons = routes[0]
	ourChild   = routes[1]
)

// listeners are the chains to the two sides.
func (p *pair) listeners() (daemons, ours chain) {
	name := "parity-" + strings.NewReplacer(", ", "-", " and ", "-").Replace(p.name)
	return chain{name + "-daemons", p.daemons}, chain{name + "-native", p.ours}
}

// parity is what the tests of native children share.
type parity struct {
	corpus []specimen
	pairs  []pair
}

// addParity adds the pairs. Clamd and spamd, and the milters by their names, are
// the bench's own.
func (b *bench) addParity(dns *stack.Unbound, keys dkimKeys, clamd *stack.Clamd, spamd *stack.Spamd, milters map[string]stack.Child) []stack.Component {
	opendkim := &stack.OpenDKIM{Root: b.root, Name: "dkim-corpus", More: dkimRecords(keys)}
	pyspf := &stack.PySPF{Root: b.root, Name: "pyspf-tolerant", DNS: dns, AuthservID: spfID, Tolerant: true}
	milters["opendkim"] = stack.Child{Name: "opendkim", Socket: opendkim.Socket()}
	milters["pyspf-milter, which refuses nothing"] = stack.Child{Name: "pyspf", Socket: pyspf.Socket()}
	b.parity = &parity{corpus: corpus(keys), pairs: pairsOf(dns.Addr(), clamd.Addr(), spamd.Addr())}
	for i := range b.parity.pairs {
		p := &b.parity.pairs[i]
		for _, name := range p.replaces {
			p.daemons = append(p.daemons, milters[name])
		}
		daemons, ours := p.listeners()
		b.addChain(daemons, theDaemons)
		b.addChain(ours, ourChild)
	}
	for i, l := range b.postfix.Listeners {
		if strings.HasPrefix(l.Name, "parity-") {
			// For XCLIENT: without it there are no addresses of IPv6.
			b.postfix.Listeners[i].Settings = []string{"inet_protocols = all"}
		}
	}
	return []stack.Component{opendkim, pyspf}
}

// TestParity sends each message of the corpus to the daemons, and to the native
// child that replaces them. What the client is told, what becomes of the message,
// and what its header then says of it must be the same, but for the differences
// that are known.
func TestParity(t *testing.T) {
	b := start(t)
	for _, p := range b.parity.pairs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			var sent []*specimen
			for i := range b.parity.corpus {
				if s := &b.parity.corpus[i]; p.messages(s) {
					sent = append(sent, s)
				}
			}
			daemons, ours := p.listeners()
			theirs := b.outcomes(t, daemons.name, theDaemons, sent)
			got := b.outcomes(t, ours.name, ourChild, sent)
			known := p.known()
			for i, s := range sent {
				daemon, ours := p.answer(theirs[i]), p.answer(got[i])
				d, listed := known[s.name]
				if !listed {
					d = difference{daemon: daemon, ours: daemon}
				}
				compareAnswers(t, s.name, daemon, ours, d)
				if a, b := p.scored(theirs[i]), p.scored(got[i]); a != b {
					t.Errorf("%q: daemon: %s, ours: %s", s.name, a, b)
				}
				delete(known, s.name)
			}
			for name, d := range known {
				if d.pair == p.name {
					t.Errorf("a difference is listed about %q, which is no message of this pair", name)
				}
			}
		})
	}
}

// compareAnswers reports two answers that differ otherwise than a difference has it.
func compareAnswers(t *testing.T, name, daemon, ours string, want difference) {
	t.Helper()
	switch listed := want.daemon != want.ours; {
	case !listed && daemon != ours:
		t.Errorf("%q: the answers differ\ndaemon: %s\nours:   %s", name, daemon, ours)
	case listed && daemon == ours:
		t.Errorf("%q: a difference is listed, but both answer %s", name, ours)
	case listed && (want.daemon != daemon || want.ours != ours):
		t.Errorf("%q: the answers differ otherwise than is listed\ndaemon: %s\nlisted: %s\nours:   %s\nlisted: %s",
			name, daemon, want.daemon, ours, want.ours)
	}
}

// clients is how many messages are under way at once.
const clients = 6

// answers sends messages to one side of a pair, and returns what came of each.
func (b *bench) answers(t *testing.T, chain string, r route, p *pair, sent []*specimen) []string {
	t.Helper()
	var answers []string
	for _, o := range b.outcomes(t, chain, r, sent) {
		answers = append(answers, p.answer(o))
	}
	return answers
}

// outcomes sends messages to one side of a pair, and waits until nothing more happens
// to them.
func (b *bench) outcomes(t *testing.T, chain string, r route, sent []*specimen) []*outcome {
	t.Helper()
	outcomes, errs := make([]*outcome, len(sent)), make([]error, len(sent))
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			for i := n; i < len(sent); i += clients {
				outcomes[i], errs[i] = b.exchange(chain, r, sent[i].talk)
			}
		})
	}
	wg.Wait()
	for i, o := range outcomes {
		if errs[i] != nil {
			t.Fatalf("%q: %v", sent[i].name, errs[i])
		}
		b.settle(t, chain, r, o)
	}
	return outcomes
}

// answer says what came of a message, and what of its header is compared.
func (p *pair) answer(o *outcome) string {
	for _, e := range o.dialogue[1:] {
		if code := e.Reply.Code(); code >= "4" || code == "" {
			stage, _, _ := strings.Cut(cmp.Or(e.Command, "greeting"), " ")
			if stage == "." {
				stage = "end"
			}
			if p.text {
				return e.Reply.String() + " at " + stage
			}
			return statusOf(e.Reply) + " at " + stage
		}
	}
	if len(o.mails) != 1 {
		return fmt.Sprintf("%d messages taken", len(o.mails))
	}
	words := []string{string(o.mails[0].fate)}
	if header := headerOf(o); p.read != nil && header != "" {
		words = append(words, p.read(header)...)
	}
	return strings.Join(words, ", ")
}

// scored is what must be the same, of the pairs that have it.
func (p *pair) scored(o *outcome) string {
	if p.same == nil {
		return ""
	}
	return p.same(headerOf(o))
}

// headerOf is the header of the copy that was delivered, "" where there is none.
func headerOf(o *outcome) string {
	if len(o.mails) != 1 || len(o.mails[0].copies) != 1 {
		return ""
	}
	header, _, _ := strings.Cut(string(o.mails[0].copies[0].Content), "\n\n")
	return header + "\n"
}

var status = regexp.MustCompile(`^[245]\d\d(?: [245]\.\d+\.\d+)?`)

// statusOf are the codes of a reply, without its text.
func statusOf(r smtpclient.Reply) string {
	last := r.Lines[len(r.Lines)-1]
	return cmp.Or(status.FindString(last), last)
}

// The corpus has at least sixty messages, each with a name of its own, and each is
// sent somewhere.
func TestCorpus(t *testing.T) {
	keys, err := newDKIMKeys()
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, s := range corpus(keys) {
		if named[s.name] {
			t.Errorf("two messages are called %q", s.name)
		}
		named[s.name] = true
		if len(s.pairs) == 0 {
			t.Errorf("%q is sent to no pair", s.name)
		}
	}
	if len(named) < 60 {
		t.Errorf("the corpus has %d messages, want at least 60", len(named))
	}
}
