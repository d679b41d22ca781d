package miltertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A child that keeps to the rules passes, with nothing said.
func TestGoodChildrenPass(t *testing.T) {
	for name, test := range goodChildren(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := findings(t, test, ""); len(found.lines) > 0 {
				t.Errorf("found:\n%s", found)
			}
		})
	}
}

// goodChildren are one of each kind.
func goodChildren(t *testing.T) map[string]ChildTest {
	return map[string]ChildTest{
		"a function": {New: tagging},
		"one without hooks": {New: func() milterkit.Child {
			return milterkit.NewChild("none", func() milterkit.Hooks { return milterkit.Hooks{} })
		}},
		"one that accepts at once":   {New: acceptsConnect},
		"one with state":             {New: countsRecipients},
		"one that reads the body":    {New: hashesBody},
		"one with goroutines":        {New: looksUp},
		"one with a pool":            {New: func() milterkit.Child { return newPool() }},
		"one that answers by chance": {New: stamps},
		"one that greylists":         {New: greylists, Remembers: true},
		"a prompt one":               {New: prompt},
		"a remote one":               {New: func() milterkit.Child { return behindSocket(t) }},
		"its own mail": {New: tagging, Client: Client{Host: "mx.example.com", Addr: "203.0.113.5", Known: map[string]string{"auth_authen": "alice"}},
			Mails: []Mail{{From: "<a@example.com>", To: []Recipient{{Addr: "<b@example.com>"}}, Message: ParseMessage([]byte("Subject: x\n\ny\n"))}}},
	}
}

// A mail that names nobody is from and to the kit's own people: the child is shown
// its content.
func TestAMailWithoutPeopleIsPlayed(t *testing.T) {
	t.Parallel()
	text := ParseMessage([]byte("Subject: zipped\n\ny\n"))
	for name, mail := range map[string]Mail{
		"nobody":                      {Message: text},
		"no sender":                   {To: []Recipient{{Addr: "<bob@example.net>"}}, Message: text},
		"no recipient that is taken":  {From: "<alice@example.org>", To: []Recipient{{Addr: "<x@example.net>", Refused: "550 5.1.1 no"}}, Message: text},
		"nobody, and a null sender":   {From: "<>", Message: text},
		"other people, as they stand": {From: "<a@example.com>", To: []Recipient{{Addr: "<b@example.com>"}}, Message: text},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			shown := map[string]bool{}
			look := milterkit.OnMessage("look", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
				mu.Lock()
				defer mu.Unlock()
				if m.Get("Subject") == "zipped" {
					shown[m.Sender.Raw+" "+m.Recipients[0].Raw] = true
				}
				return milterkit.Continue
			})
			findings(t, ChildTest{New: func() milterkit.Child { return look }, Mails: []Mail{mail}}, "EditsApply")
			want := "<alice@example.org> <bob@example.net>"
			switch {
			case mail.From == "<>":
				want = "<> <bob@example.net>"
			case mail.From == "<a@example.com>":
				want = "<a@example.com> <b@example.com>"
			}
			if !shown[want] || len(shown) != 1 {
				t.Errorf("the mail was shown as from and to %v, want %s", shown, want)
			}
		})
	}
}

// The log tells of a child that has done nothing to any mail, for then little of it
// has been tried; an accept, a fail and a child that was stopped are nothing.
func TestAChildThatDoesNothingIsTold(t *testing.T) {
	t.Parallel()
	const hint = "never asked for an edit, nor refused"
	stopped := func() milterkit.Child {
		return milterkit.OnRcpt("stopped", func(ctx context.Context, _ *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
			if ctx.Err() != nil {
				return milterkit.TempFail("4.3.0 stopped")
			}
			return milterkit.Continue
		})
	}
	zips := func() milterkit.Child {
		return milterkit.OnMessage("zips", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			if m.Get("Subject") == "zipped" {
				return milterkit.Reject("5.7.1 no zips")
			}
			return milterkit.Continue
		})
	}
	for name, c := range map[string]struct {
		test ChildTest
		told bool
	}{
		"edits":               {ChildTest{New: tagging}, false},
		"refuses":             {ChildTest{New: countsRecipients}, false},
		"accepts":             {ChildTest{New: acceptsConnect}, true},
		"refuses as it stops": {ChildTest{New: stopped}, true},
		"waits for zips":      {ChildTest{New: zips}, true},
		"has its zips":        {ChildTest{New: zips, Mails: []Mail{{Message: ParseMessage([]byte("Subject: zipped\n\ny\n"))}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if f := findings(t, c.test, ""); strings.Contains(f.String(), hint) != c.told {
				t.Errorf("is it told: %t, want %t:\n%s", !c.told, c.told, f)
			}
		})
	}
}

// A limit across messages is meant: wherever it looks like a mistake the rule says
// what to set, and with that it passes.
func TestALimitIsToldOfRemembers(t *testing.T) {
	t.Parallel()
	for _, test := range []ChildTest{{New: limits}, {New: limits, Remembers: true}} {
		f := findings(t, test, "")
		for _, rule := range []string{"SecondMessage", "AbortAtEachStage", "SessionsAtOnce"} {
			found, told := false, false
			for _, line := range f.lines {
				found = found || strings.HasPrefix(line, rule+": ")
			}
			for _, line := range f.logs {
				told = told || strings.HasPrefix(line, rule+": The rule: ") && strings.Contains(line, "ChildTest{Remembers: true}")
			}
			if want := !test.Remembers; found != want || told != want {
				t.Errorf("%s, Remembers %t: found %t, told of Remembers %t:\n%s", rule, test.Remembers, found, told, f)
			}
		}
	}
}

// limits takes one message of each sender.
func limits() milterkit.Child {
	var seen sync.Map
	return milterkit.NewChild("limit", func() milterkit.Hooks {
		return milterkit.Hooks{Mail: func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict {
			if _, again := seen.LoadOrStore(e.Sender.Addr, true); again {
				return milterkit.TempFail("4.7.1 one a day")
			}
			return milterkit.Continue
		}}
	})
}

func tagging() milterkit.Child {
	return milterkit.OnMessage("tag", func(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		if strings.Contains(m.Get("Subject"), "cheap") {
			return milterkit.Reject("5.7.1 not here")
		}
		e.AddHeader("X-Seen", fmt.Sprint(m.Size()))
		e.ReplaceBody(append([][]byte{[]byte("[outside]\r\n")}, m.Body()...)...)
		return milterkit.Continue
	})
}

func acceptsConnect() milterkit.Child {
	return milterkit.NewChild("trusting", func() milterkit.Hooks {
		return milterkit.Hooks{
			Connect: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Accept },
			Data:    func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
		}
	})
}

func countsRecipients() milterkit.Child {
	return milterkit.NewChild("count", func() milterkit.Hooks {
		n := 0
		return milterkit.Hooks{
			Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
				if n++; n > 2 {
					return milterkit.TempFail("4.5.3 too many")
				}
				return milterkit.Continue
			},
			Reset: func() { n = 0 },
		}
	})
}

func hashesBody() milterkit.Child {
	return milterkit.NewChild("hash", func() milterkit.Hooks {
		var sum, lines int
		var subject string
		return milterkit.Hooks{
			Header: func(_ context.Context, m *milterkit.Message) milterkit.Verdict {
				subject = m.Get("Subject")
				return milterkit.Continue
			},
			Body: func(_ context.Context, _ *milterkit.Message, piece []byte) milterkit.Verdict {
				for _, b := range piece {
					sum += int(b)
				}
				lines += bytes.Count(piece, []byte("\n"))
				return milterkit.Continue
			},
			Message: func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
				e.AddHeader("X-Sum", fmt.Sprint(sum, lines, len(m.Recipients), subject))
				return milterkit.Continue
			},
			Reset: func() { sum, lines, subject = 0, 0, "" },
		}
	})
}

// looksUp asks on other goroutines, and waits for them.
func looksUp() milterkit.Child {
	return milterkit.OnMessage("lookup", func(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		var all sync.WaitGroup
		sizes := make([]int, len(m.Recipients))
		for i, r := range m.Recipients {
			all.Go(func() {
				select {
				case <-ctx.Done():
				case <-time.After(3 * time.Millisecond):
					sizes[i] = len(r.Addr)
				}
			})
		}
		all.Wait()
		if ctx.Err() != nil {
			return milterkit.Fail(ctx.Err())
		}
		e.AddHeader("X-Sizes", fmt.Sprint(sizes))
		return milterkit.Continue
	})
}

// pool has a goroutine for all sessions, which ends with it.
type pool struct {
	jobs chan func()
	done sync.WaitGroup
	once sync.Once
}

func newPool() *pool { return &pool{jobs: make(chan func())} }

func (p *pool) Name() string { return "pool" }
func (p *pool) Close() error { close(p.jobs); p.done.Wait(); return nil }
func (p *pool) Hooks() milterkit.Hooks {
	return milterkit.Hooks{Mail: func(ctx context.Context, e *milterkit.Envelope) milterkit.Verdict {
		p.once.Do(func() {
			p.done.Go(func() {
				for job := range p.jobs {
					job()
				}
			})
		})
		done := make(chan milterkit.Verdict, 1)
		select {
		case p.jobs <- func() { done <- milterkit.Continue }:
			return <-done
		case <-ctx.Done():
			return milterkit.Fail(ctx.Err())
		}
	}}
}

func stamps() milterkit.Child {
	return milterkit.OnMessage("stamp", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X-Stamp", time.Now().Format(time.RFC3339Nano))
		return milterkit.Continue
	})
}

func greylists() milterkit.Child {
	var seen sync.Map
	return milterkit.OnRcpt("grey", func(_ context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
		if _, known := seen.LoadOrStore(e.Sender.Addr+" "+to.Addr, true); !known {
			return milterkit.TempFail("4.7.1 come again")
		}
		return milterkit.Continue
	})
}

func prompt() milterkit.Child {
	return milterkit.NewChild("prompt", func() milterkit.Hooks {
		h := countsRecipients().Hooks()
		h.Message = func(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			select {
			case <-ctx.Done():
				return milterkit.Fail(ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
			e.SetHeader("X-Prompt", m.Get("Message-ID"))
			return milterkit.Continue
		}
		h.Prompt = true
		return h
	})
}

// behindSocket is a milter on a socket.
type behindSocketChild struct {
	*remote.Milter
	filter *Filter
}

func (c behindSocketChild) Close() error { return errors.Join(c.Milter.Close(), c.filter.Close()) }

var _ io.Closer = behindSocketChild{}

var sockets struct {
	sync.Mutex
	n int
}

func behindSocket(t *testing.T) milterkit.Child {
	sockets.Lock()
	sockets.n++
	path := filepath.Join(t.TempDir(), fmt.Sprint("s", sockets.n))
	sockets.Unlock()
	f := &Filter{Script: Script{On: map[byte][]Answer{
		wire.CmdRcpt: {{If: "dave@", Text: "550 5.1.1 no such user"}},
		wire.CmdEOM:  {{Edits: []Edit{AddHeader("X-Remote", "yes"), ChangeHeader(1, "Subject", "changed")}}},
	}}}
	addr, err := f.Start("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return behindSocketChild{&remote.Milter{Label: "remote", Network: "unix", Addr: addr}, f}
}
