package main

import (
	"fmt"
	"time"

	"github.com/milterkit/sdk/bench"
	"github.com/milterkit/sdk/test/stack"
)

// Native children against the milters that they replace, with the same clamd and the
// same spamd behind either.

const (
	chainMilters = "three milters"
	chainNative  = "three native"
	pairMilters  = "two milters"
	pairNative   = "two native"
)

// chain is the section of Postfix with milterkit's own children.
func (r *run) chain() error {
	return r.inOffice(func(o *office) error {
		if lacks := lacking("opendkim clamav-daemon clamav-milter spamassassin spamd spamc spamass-milter unbound",
			"opendkim", "clamd", "clamav-milter", "spamd", "spamc", "spamass-milter", "unbound"); lacks != nil {
			r.leaveOut("Postfix with native children against OpenDKIM, clamav-milter and spamass-milter", lacks)
			return nil
		}
		milters, native, err := o.startChain()
		if err != nil {
			return err
		}
		for name, children := range map[string][]stack.Child{
			chainMilters: milters, chainNative: native, pairMilters: milters[:2], pairNative: native[:2],
		} {
			if err := o.behind(name, 0, together(children)...); err != nil {
				return err
			}
		}
		if err := o.start(o.postfix); err != nil {
			return err
		}
		return o.chainContests()
	})
}

// startChain starts the milters, what they ask, and the name server that the native
// ones ask, and returns both as children.
func (o *office) startChain() (milters, native []stack.Child, err error) {
	key, err := o.writeLetter()
	if err != nil {
		return nil, nil, err
	}
	dns := stack.NewUnbound(o.root, key.Record())
	clamd := &stack.Clamd{Root: o.root, MadeUp: 100_000, Forgetful: true}
	spamd := &stack.Spamd{Root: o.root}
	dkim := &stack.OpenDKIM{Root: o.root, Name: "opendkim", Key: key}
	clamav := &stack.ClamavMilter{Root: o.root, Clamd: clamd}
	spamass := &stack.SpamassMilter{Root: o.root, Spamd: spamd}
	if err := o.start(dns, dkim, clamd, spamd); err != nil {
		return nil, nil, err
	}
	if err := o.start(clamav, spamass); err != nil {
		return nil, nil, err
	}
	o.filters = []*bench.Part{bench.Running("opendkim", dkim.Pid()), bench.Running("clamav-milter", clamav.Pid()), bench.Running("spamass-milter", spamass.Pid())}
	milters = []stack.Child{
		{Name: "opendkim", Socket: dkim.Socket()},
		{Name: "clamav", Socket: clamav.Socket()},
		{Name: "spamassassin", Socket: spamass.Socket()},
	}
	native = []stack.Child{
		{Name: "dkim", Use: "dkim-verify", Options: fmt.Sprintf("nameserver = %q\n", dns.Addr())},
		{Name: "clamd", Use: "clamd", Options: fmt.Sprintf("addresses = [%q]\n", "unix:"+clamd.Addr())},
		{Name: "spamd", Use: "spamd", Options: fmt.Sprintf("addresses = [%q]\n", "unix:"+spamd.Addr())},
	}
	return milters, native, nil
}

// chainContests hold the contests, and tell what the native children save.
func (o *office) chainContests() error {
	for _, c := range []struct {
		what             string
		sessions, n      int
		native, milters  string
		turn             time.Duration
		processes, fewer int
	}{
		{"verify, clamd and spamd", 1, 3, chainNative, chainMilters, 4 * time.Second, 4, 1},
		{"verify and clamd", 1, 2, pairNative, pairMilters, 2 * time.Second, 3, 1},
		{"verify and clamd", 4, 2, pairNative, pairMilters, 2 * time.Second, 3, 1},
	} {
		t, err := o.contest(c.what+" as native children, and as milters", c.n, c.sessions, o.run.turn(c.turn),
			source{least: 4, file: o.letterFile()}, c.milters, c.native)
		if err != nil {
			return err
		}
		where := fmt.Sprintf("Postfix, %s, %s: ", c.what, sessionsOf(c.sessions))
		cpu := below(where+"CPU of milterkit and the milters, native children against milters", t.Ratio(c.native, c.milters, allCPU), 1, "")
		cpu.Note = fmt.Sprintf("%d process in place of %d, beside clamd and spamd, whose CPU is not counted", c.fewer, c.processes)
		o.run.goal(
			below(where+"time, native children against milters behind milterkit", t.Ratio(c.native, c.milters, bench.Wall), 1, ""),
			cpu,
		)
	}
	return nil
}
