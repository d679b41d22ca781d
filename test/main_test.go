package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/stack"
)

// route is a way from the client to the milters: a listener of an MTA's.
type route struct {
	name     string
	together bool // all milters but the first have together = true
	direct   bool // no milterkit: the MTA talks to each milter
	sendmail bool // the MTA is Sendmail, not Postfix
	lockstep bool // all milters have pipeline = false
}

// routes are the ways that are compared; the first is the measure.
var (
	routes         = []route{{name: "direct", direct: true}, {name: "behind"}, {name: "together", together: true}}
	sendmailRoutes = []route{{name: "direct", direct: true, sendmail: true}, {name: "behind", sendmail: true},
		{name: "together", together: true, sendmail: true}}
)

// chain is a list of milters, reached by each of the routes.
type chain struct {
	name     string
	children []stack.Child
}

// bench is the stack that all tests share, started once.
type bench struct {
	root     *stack.Root
	postfix  *stack.Postfix
	sendmail *stack.Sendmail

	// kits are the milterkit daemons, by the listeners in front of them.
	kits map[string]*stack.Milterkit

	// binary is the milterkit program, kitErr why there is none.
	binary *stack.Binary
	kitErr error

	told       *stack.PythonMilter // does as the sender's address says
	parity     *parity
	rspamdDNS  *stack.Unbound // that of rspamd
	reloaded   *stack.Milterkit
	clamds     clamds
	components []stack.Component
	milters    []*goMilter
}

var shared struct {
	once  sync.Once
	bench *bench
	err   error
}

// start gives a test the stack.
func start(t *testing.T) *bench {
	t.Helper()
	shared.once.Do(func() { shared.bench, shared.err = newBench() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.bench
}

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // go-milter logs each connection that is closed
	code := m.Run()
	if b := shared.bench; b != nil {
		if err := b.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// newBench starts everything: the daemons while milterkit is being built,
// then milterkit. On error it returns what is to be stopped all the same.
func newBench() (*bench, error) {
	root, err := stack.NewRoot()
	if err != nil {
		return nil, err
	}
	b := &bench{root: root, kits: make(map[string]*stack.Milterkit), binary: &stack.Binary{Root: root}}
	key, err := stack.NewDKIMKey()
	if err != nil {
		return b, err
	}
	clamd := &stack.Clamd{Root: root}
	spamd := &stack.Spamd{Root: root}
	verifier := &stack.OpenDKIM{Root: root, Name: "dkim-verify", Key: key}
	relaxed := &stack.OpenDKIM{Root: root, Name: "dkim-relaxed", Key: key, Sign: "relaxed/relaxed"}
	simple := &stack.OpenDKIM{Root: root, Name: "dkim-simple", Key: key, Sign: "simple/simple"}
	clamav := &stack.ClamavMilter{Root: root, Clamd: clamd}
	spamass := &stack.SpamassMilter{Root: root, Spamd: spamd}
	if err := b.startMilters(); err != nil {
		return b, err
	}

	real := []stack.Child{
		{Name: "opendkim", Socket: verifier.Socket()},
		{Name: "clamav", Socket: clamav.Socket()},
		{Name: "spamassassin", Socket: spamass.Socket()},
	}
	b.postfix = &stack.Postfix{Root: root, Mailboxes: mailboxes()}
	b.addChain(chain{"real", real}, routes...)
	b.addChain(chain{"refuser", append(slices.Clone(real), b.child(refuserName))}, routes...)
	b.addChain(chain{"actions", []stack.Child{b.child(firstName)}}, routes[:2]...)
	b.addChain(chain{"leadspace", []stack.Child{b.child(leadspaceName)}}, routes[:2]...)
	b.addChain(chain{"two", []stack.Child{b.child(firstName), b.child(secondName)}}, routes...)
	b.addChain(chain{"silent", []stack.Child{b.child(silentName), b.child(secondName)}}, routes[:2]...)
	b.addChain(chain{"macros", []stack.Child{b.child(listerName), b.child(secondName)}}, routes[:2]...)
	signRelaxed := stack.Child{Name: "sign", Socket: relaxed.Socket()}
	signSimple := stack.Child{Name: "sign", Socket: simple.Socket()}
	b.addChain(chain{"sign-relaxed", []stack.Child{signRelaxed}}, routes[:2]...)
	b.addChain(chain{"sign-simple", []stack.Child{signSimple}}, routes[:2]...)
	b.addSendmail(real, signRelaxed, signSimple)
	b.addTrouble()
	b.addSpamds()
	b.addGreylists()
	b.addTraced()
	b.addImported()
	b.addHeaders(real[2])
	b.addReloaded(real[0])
	if err := b.addClamds(); err != nil {
		return b, err
	}
	keys, err := newDKIMKeys()
	if err != nil {
		return b, err
	}
	dns := stack.NewUnbound(root, append(records(key), corpusRecords(keys)...)...)
	dns.Refused = []string{refusedDomain}
	rspamd := b.addRspamd(dns, real[0], real[1])
	dmarc, spf, dkimpy, opendmarc := b.addDMARC(dns, real[0])
	counterparts := b.addParity(dns, keys, clamd, spamd, map[string]stack.Child{
		"clamav-milter": real[1], "spamass-milter": real[2], "pyspf-milter": spf, "opendmarc": opendmarc,
	})
	told := b.addPipelines(real, spf, dkimpy, signSimple)

	// clamav-milter defers mail for a while when it starts before clamd.
	scanners := append([]stack.Component{clamd, spamd, verifier, relaxed, simple, dns, rspamd, told}, append(dmarc, counterparts...)...)
	filters := []stack.Component{clamav, spamass, b.postfix, b.sendmail}
	b.components = slices.Concat(scanners, filters)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err = stack.Start(scanners...); err == nil {
			err = stack.Start(filters...)
		}
	})
	wg.Go(func() { b.kitErr = b.startKits() })
	wg.Wait()
	return b, err
}

// addChain adds a listener for each route to a chain, called by the names of
// both.
func (b *bench) addChain(c chain, routes ...route) {
	for _, r := range routes {
		l := stack.Listener{Name: c.name + "/" + r.name}
		if r.direct {
			for _, child := range c.children {
				l.Milters = append(l.Milters, child.Socket)
			}
		} else {
			l.Milters = []string{b.kit(c, r).Socket()}
		}
		if r.sendmail {
			b.sendmail.Listeners = append(b.sendmail.Listeners, l)
		} else {
			b.postfix.Listeners = append(b.postfix.Listeners, l)
		}
	}
}

// kit is the milterkit of a route to a chain. Both MTAs ask the same one.
func (b *bench) kit(c chain, r route) *stack.Milterkit {
	listener := c.name + "/" + r.name
	if b.kits[listener] == nil {
		kit := &stack.Milterkit{Root: b.root, Name: "kit-" + c.name + "-" + r.name}
		for i, child := range c.children {
			child.Together = r.together && i > 0
			child.Lockstep = r.lockstep
			kit.Children = append(kit.Children, child)
		}
		b.kits[listener] = kit
	}
	return b.kits[listener]
}

// mta is the mail server of a route.
func (b *bench) mta(r route) stack.MTA {
	if r.sendmail {
		return b.sendmail
	}
	return b.postfix
}

// startKits builds milterkit and starts its daemons. It is the one place that
// knows how.
func (b *bench) startKits() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := b.binary.Build(ctx); err != nil {
		return err
	}
	var daemons []stack.Component
	for _, kit := range b.kits {
		kit.Binary = b.binary
		daemons = append(daemons, kit)
	}
	return stack.Start(daemons...)
}

// failures is an error when Sendmail has given up a milterkit: it is always answered
// in time, and in its own way.
func (b *bench) failures() error {
	var errs []error
	for _, kit := range b.kits {
		for _, line := range b.sendmail.Failures(kit.Socket()) {
			errs = append(errs, fmt.Errorf("Sendmail has given up %s: %s", kit.Name, line))
		}
	}
	return errors.Join(errs...)
}

// stop stops everything and looks for trouble that no test has seen.
func (b *bench) stop() error {
	components := slices.Clone(b.components)
	for _, kit := range b.kits {
		components = append(components, kit)
	}
	var err error
	if shared.err == nil {
		err = b.failures()
	}
	err = errors.Join(err, stack.Stop(components...))
	for _, m := range b.milters {
		err = errors.Join(err, m.close())
	}
	return errors.Join(err, b.root.Remove())
}
