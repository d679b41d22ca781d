package miltertest_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// conform looks at a filter that does as a script says.
func conform(t *testing.T, s Script, timeout time.Duration) []Finding {
	t.Helper()
	return conformFilter(t, &Filter{Script: s}, timeout)
}

func conformFilter(t *testing.T, f *Filter, timeout time.Duration) []Finding {
	t.Helper()
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := Conformance{Timeout: timeout, Sessions: 5, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", addr)
	}}
	return c.Check(t.Context())
}

// worst returns the findings that are not ok.
func worst(findings []Finding) (broken, noted []Finding) {
	for _, f := range findings {
		switch f.Result {
		case Broken:
			broken = append(broken, f)
		case Noted:
			noted = append(noted, f)
		}
	}
	return broken, noted
}

// A filter that keeps to the protocol is found to, whatever it has negotiated.
func TestConformFindsNothingInAGoodFilter(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Script{
		"plain": {},
		"little wanted": {Steps: wire.NoHelo | wire.NoRcpt | wire.NoEOH | wire.NoReplyHeader | wire.LeadingSpace,
			On: map[byte][]Answer{wire.CmdEOM: {{Progress: 2}}}},
		"version 2": {Version: 2},
		"silent":    {Steps: wire.NoReplyConnect | wire.NoReplyHelo | wire.NoReplyMail | wire.NoReplyRcpt | wire.NoReplyData | wire.NoReplyHeader | wire.NoReplyEOH | wire.NoReplyBody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nothingFound(t, conform(t, s, 10*time.Second))
		})
	}
}

// Milterkit keeps to the protocol, with children that edit.
func TestConformFindsNothingInMilterkit(t *testing.T) {
	t.Parallel()
	d, err := milterkit.NewDispatcher(milterkit.Slot{DefaultAction: milterkit.DefaultAccept, // where the MTA offers no edits
		Child: milterkit.OnMessage("editor", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-Seen", "yes")
			e.ReplaceBody([]byte("another\r\n"))
			e.Quarantine("held")
			return milterkit.Continue
		})})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir()}
	go srv.Serve(ln)
	defer srv.Close()
	c := Conformance{Dial: func(context.Context) (net.Conn, error) { return net.Dial("unix", ln.Addr().String()) }}
	nothingFound(t, c.Check(t.Context()))
}

// nothingFound looks that nothing was found.
func nothingFound(t *testing.T, findings []Finding) {
	t.Helper()
	if len(findings) < 30 {
		t.Errorf("only %d findings", len(findings))
	}
	broken, noted := worst(findings)
	for _, f := range append(broken, noted...) {
		if f.Text != "the milter's version has none" {
			t.Error(f)
		}
	}
}

// Each fault, wherever it is made, is found.
func TestConformFindsEachFault(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	var all sync.WaitGroup
	defer all.Wait()
	place := make(chan bool, 20) // most of the time is spent listening
	for _, fault := range Faults(2 * limit) {
		for _, a := range asks {
			if !fault.Is(a.cmd) {
				continue
			}
			timeout := 10 * time.Second
			if slices.Contains([]string{"late", "hang", "endless progress"}, fault.Name) {
				timeout = limit
			}
			place <- true
			all.Go(func() {
				defer func() { <-place }()
				broken, noted := worst(conform(t, on(a.cmd, fault.Answer), timeout))
				if what := wrongFinding(fault, a.cmd, broken, noted); what != "" {
					t.Errorf("%s at %s: %s: %v %v", fault.Name, Word(a.cmd), what, broken, noted)
				}
			})
		}
	}
}

// wrongFinding says what is wrong with the findings about a fault, or "".
func wrongFinding(fault Fault, cmd byte, broken, noted []Finding) string {
	if len(broken) != 1 {
		return "it is not found once"
	}
	f := broken[0]
	if fault.Name == "refusal after edits" { // which a filter may do; this one does it whatever was negotiated
		if f.Check != "an MTA that offers nothing" || !strings.Contains(textOf(noted), "it does not count") {
			return "found otherwise"
		}
		return ""
	}
	switch {
	case f.Check != "an answer to each command" || !strings.Contains(f.String(), "the protocol: every command is answered once"):
		return "found otherwise"
	case !strings.Contains(f.Text, "answer to "+wire.CmdName(cmd)) && !strings.Contains(f.Text, "after "+Word(cmd)):
		return "the command is not named"
	}
	return ""
}

func textOf(findings []Finding) string {
	var text []string
	for _, f := range findings {
		text = append(text, f.Text)
	}
	return strings.Join(text, "\n")
}

// Faults that only some sessions show are found at the check that has them.
func TestConformFindsWhatOnlySomeSessionsShow(t *testing.T) {
	t.Parallel()
	closes := Answer{Close: true}
	with := func(a Answer, change func(*Answer)) Answer { change(&a); return a }
	for name, c := range map[string]struct {
		script         Script
		result         FindingResult
		check, telling string
	}{
		"steps that were not offered":   {Script{Steps: wire.NoReplyHeader, Stubborn: true}, Broken, "an MTA that offers nothing", "asks for steps"},
		"actions that were not offered": {Script{Actions: wire.ActAddHeader, Stubborn: true}, Broken, "an MTA that offers nothing", "asks for actions"},
		"an action that was not negotiated": {Script{Actions: wire.ActQuarantine, On: map[byte][]Answer{wire.CmdEOM: {{Edits: []Edit{AddHeader("A", "b")}}}}},
			Broken, "an answer to each command", "the action was not negotiated"},
		"an answer where none was promised": {Script{Steps: wire.NoReplyHelo, On: map[byte][]Answer{wire.CmdHelo: {{Always: true}}}},
			Broken, "an answer to each command", "after helo: milter protocol: CONTINUE: nobody asked for it"},
		"a second message":    {on(wire.CmdMail, with(closes, func(a *Answer) { a.Message = 2 })), Broken, "three messages", "message 2"},
		"the null sender":     {on(wire.CmdMail, with(closes, func(a *Answer) { a.If = "mail <>" })), Broken, "odd: the null sender", "has closed the connection"},
		"many recipients":     {on(wire.CmdRcpt, with(closes, func(a *Answer) { a.Nth = 900 })), Broken, "odd: 1000 recipients", "has closed the connection"},
		"IPv6":                {on(wire.CmdConnect, Answer{If: "2001:db8", Hang: true}), Broken, "odd: a client on IPv6", "does not answer within"},
		"the name of a field": {on(wire.CmdEOM, Answer{Edits: []Edit{AddHeader("X Seen", "yes")}}), Broken, "edits", "X Seen: yes: that is not the name of a field"},
		"a refusal":           {on(wire.CmdRcpt, Answer{Text: "550 5.7.1 no"}), Noted, "an answer to each command", "is rejected at rcpt: 550 5.7.1 no"},
		"an early verdict":    {on(wire.CmdHeader, Answer{If: "Subject", Verdict: TempFail}), Noted, "header and body sent ahead", "gives verdicts before the end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if name == "IPv6" {
				timeout = 300 * time.Millisecond
			}
			for _, f := range conform(t, c.script, timeout) {
				if f.Check == c.check {
					if f.Result != c.result || !strings.Contains(f.Text, c.telling) {
						t.Errorf("found %s, want %s … %s", f, c.result, c.telling)
					}
					return
				}
			}
			t.Errorf("%s was not looked at", c.check)
		})
	}
}

// A countedConn is one of several that are open.
type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// A filter that a crowd is too much for is found out.
func TestConformFindsAFilterForFewSessionsOnly(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	f := &Filter{ScriptFor: func(int) Script {
		if open.Load() > 4 {
			return on(wire.CmdMail, Answer{Close: true})
		}
		return Script{}
	}}
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := Conformance{Sessions: 5, Dial: func(ctx context.Context) (net.Conn, error) {
		open.Add(1)
		conn, err := net.Dial("unix", addr)
		return &countedConn{Conn: conn, open: &open}, err
	}}
	broken, _ := worst(c.Check(t.Context()))
	if len(broken) != 1 || broken[0].Check != "many sessions at once" || !strings.Contains(broken[0].Text, " of 5 sessions failed") {
		t.Error(broken)
	}
}

// A milter that is not there is one finding.
func TestConformOfNothing(t *testing.T) {
	c := Conformance{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(t.TempDir(), "nothing"))
	}}
	broken, _ := worst(c.Check(t.Context()))
	if len(broken) != 1 || !strings.Contains(broken[0].Text, "cannot connect to the milter") {
		t.Error(broken)
	}
}

// A ctx that is done ends it.
func TestConformEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &Filter{Script: on(wire.CmdHelo, Answer{Hang: true}), OnEvent: func(e Event) {
		if e.Cmd == wire.CmdHelo {
			cancel()
		}
	}}
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := Conformance{Timeout: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) { return net.Dial("unix", addr) }}
	began := time.Now()
	found := c.Check(ctx)
	if last := found[len(found)-1]; last.Result != Broken || !strings.Contains(last.Text, "was not looked at") || time.Since(began) > 10*time.Second {
		t.Error(found)
	}
}
