package test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/milterkit/sdk/test/stack"
)

// mixes are the chains of TestWhoeverChecks: in some pyspf-milter and OpenDKIM, or
// OpenDMARC, have their part beside native children.
var mixes = []string{"mixed-theirs", "mixed-dmarc", "mixed-spf-dkim", "mixed-ours", "mixed-alone"}

// whoeverChecks are messages of the corpus, and what becomes of them whoever has
// looked at them.
var whoeverChecks = map[string]string{
	"DMARC no record":          "delivered, dmarc=none",
	"DMARC none":               "delivered, dmarc=fail",
	"DMARC quarantine":         "held, dmarc=fail",
	"DMARC reject":             "550 5.7.1 at end",
	"DMARC reject, sub-domain": "550 5.7.1 at end",
	"DMARC reject of sub-domains only, sub-domain":   "550 5.7.1 at end",
	"DMARC reject of sub-domains only, the domain":   "delivered, dmarc=fail",
	"DMARC reject but of sub-domains, sub-domain":    "delivered, dmarc=fail",
	"DMARC reject but of sub-domains, the domain":    "550 5.7.1 at end",
	"DMARC aligned by SPF":                           "delivered, dmarc=pass",
	"DMARC aligned by SPF of a sub-domain":           "delivered, dmarc=pass",
	"DMARC aligned by DKIM":                          "delivered, dmarc=pass",
	"DMARC aligned by DKIM of a sub-domain":          "delivered, dmarc=pass",
	"DMARC sub-domain aligned by DKIM of the domain": "delivered, dmarc=pass",
	"DMARC DKIM of another":                          "550 5.7.1 at end",
	"DMARC list that breaks the signature":           "550 5.7.1 at end",
	"DMARC null sender, HELO of another":             "550 5.7.1 at end",
	"DMARC forged Authentication-Results":            "550 5.7.1 at end",
}

// TestWhoeverChecks sends the same messages past pyspf-milter, OpenDKIM and
// OpenDMARC, past the native children, and past some of these and some of those. Each
// goes by what those before it have found: the outcome is the same.
func TestWhoeverChecks(t *testing.T) {
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	keys, err := newDKIMKeys()
	if err != nil {
		t.Fatal(err)
	}
	b := startMixed(t, all, keys)
	var sent []*specimen
	for _, s := range dmarcPolicies(keys) {
		if whoeverChecks[s.name] != "" {
			sent = append(sent, &s)
		}
	}
	if len(sent) != len(whoeverChecks) {
		t.Fatalf("%d of the %d messages are in the corpus", len(sent), len(whoeverChecks))
	}
	for _, mix := range mixes {
		t.Run(mix, func(t *testing.T) {
			t.Parallel()
			for i, got := range b.answers(t, mix, routes[1], &pair{read: resultsBy("dmarc")}, sent) {
				if want := whoeverChecks[sent[i].name]; got != want {
					t.Errorf("%q: %s, want %s", sent[i].name, got, want)
				}
			}
		})
	}
}

// startMixed starts a bench with those chains.
func startMixed(t *testing.T, all *bench, keys dkimKeys) *dkimBench {
	t.Helper()
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	b := &dkimBench{bench: &bench{root: root, kits: map[string]*stack.Milterkit{}, binary: all.binary}}
	dns := stack.NewUnbound(root, corpusRecords(keys)...)
	pyspf := &stack.PySPF{Root: root, Name: "pyspf", DNS: dns, AuthservID: stack.AuthservID, Tolerant: true}
	opendkim := &stack.OpenDKIM{Root: root, Name: "opendkim", More: dkimRecords(keys)}
	opendmarc := &stack.OpenDMARC{Root: root, DNS: dns, Trusted: []string{stack.AuthservID}, Suffixes: []string{"example"}}
	b.postfix = &stack.Postfix{Root: root, Mailboxes: []string{"bob"}}

	options := fmt.Sprintf("nameserver = %q\nauthserv_id = %q\n", dns.Addr(), stack.AuthservID)
	native := func(name, more string) stack.Child {
		return stack.Child{Name: name, Use: name, Options: options + more}
	}
	theirs := []stack.Child{{Name: "pyspf", Socket: pyspf.Socket()}, {Name: "opendkim", Socket: opendkim.Socket()}}
	ours := []stack.Child{native("spf", "fail = \"none\"\n"), native("dkim-verify", "")}
	last, dmarc := stack.Child{Name: "opendmarc", Socket: opendmarc.Socket()}, native("dmarc", "")
	for i, children := range [][]stack.Child{append(slices.Clone(theirs), last), append(theirs, dmarc), append(slices.Clone(ours), last), append(ours, dmarc), {dmarc}} {
		b.addChain(chain{mixes[i], children}, routes[1])
	}
	b.startAll(t, []stack.Component{dns, pyspf, opendkim, opendmarc})
	return b
}
