package milterkit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// told drives sessions past slots, and returns what is reported of each message.
func told(t *testing.T, session func(*milterkit.Walk), slots ...milterkit.Slot) (reports []string) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	already, began := 0, time.Now()
	d.OnReport = func(r *milterkit.Report) {
		if r.Told != already {
			t.Errorf("%d events are told again, want %d", r.Told, already)
		}
		for already = 0; already < len(r.Events) && r.Events[already].At < milterkit.StageMail; already++ {
		}
		lines := []string{fmt.Sprintf("%s by %q at %s, %q", r.Outcome(), r.By, r.At, r.Message.Get("Message-ID"))}
		for _, e := range r.Events {
			what := e.At.String()
			if e.Condition {
				what = "condition at " + what
			}
			if e.Took < 0 || e.Start.Before(began) || time.Since(e.Start) < e.Took {
				t.Errorf("%+v was not at that time", e)
			}
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s: %s, %d", e.Child, what, e.To, e.Verdict, e.Calls)))
		}
		for _, c := range r.Children {
			if len(c.Changes) != c.Edits {
				t.Errorf("%s: %d edits, and %d changes", c.Name, c.Edits, len(c.Changes))
			}
		}
		reports = append(reports, strings.Join(lines, "\n"))
	}
	w := d.Walk(milterkit.AllActions)
	session(w)
	w.Close()
	return reports
}

// A report has each answer of each child in the order in which they came, those of the
// session with each of its messages.
func TestEventsTellWhatHappened(t *testing.T) {
	yes := func(context.Context, *milterkit.Envelope, milterkit.Address) bool { return true }
	no := func(context.Context, *milterkit.Envelope, milterkit.Address) bool { return false }
	got := told(t, func(w *milterkit.Walk) {
		ctx := context.Background()
		w.Connect(ctx, "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
		w.Helo(ctx, "mx")
		for range 2 {
			w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
			w.Rcpt(ctx, milterkit.NewAddress("<b@example.org>"))
			w.Rcpt(ctx, milterkit.NewAddress("<c@example.org>"))
			w.Message(ctx, []byte("Message-ID: <1@example.org>\r\n\r\nHello\r\n"))
		}
	},
		milterkit.Slot{Child: childOf("first", milterkit.Hooks{
			Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Continue },
			Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
				if to.Addr == "b@example.org" {
					return milterkit.Reject("5.1.1 no")
				}
				return milterkit.Continue
			},
		})},
		milterkit.Slot{Child: childOf("never", milterkit.Hooks{}), When: milterkit.Condition{At: milterkit.StageConnect, Holds: no}},
		milterkit.Slot{Child: childOf("down", milterkit.Hooks{Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict {
			return milterkit.Fail(errors.New("down"))
		}}), DefaultAction: milterkit.DefaultAccept},
		milterkit.Slot{Child: milterkit.OnMessage("last", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-A", "1")
			return milterkit.Accept
		}), When: milterkit.Condition{At: milterkit.StageRcpt, Holds: yes}})
	session := []string{
		`never: condition at connect : accept, 1`,
		`first: helo : continue, 1`,
	}
	message := []string{
		`down: mail : fail: down, 1`,
		`first: rcpt b@example.org: reject 550 5.1.1 no, 1`,
		`first: rcpt c@example.org: continue, 1`,
		`last: condition at rcpt c@example.org: continue, 1`,
		`last: end of message : accept, 1`,
	}
	want := strings.Join(slices.Concat([]string{`accept by "" at no stage, "<1@example.org>"`}, session, message), "\n")
	if len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("got\n%s\nwant each\n%s", strings.Join(got, "\n\n"), want)
	}
}

// A session that is refused before it has a message has a report too.
func TestARefusedSessionIsReported(t *testing.T) {
	got := told(t, func(w *milterkit.Walk) { w.Helo(context.Background(), "mx") },
		milterkit.Slot{Child: childOf("a", milterkit.Hooks{Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Reject("5.7.1 no") }})})
	if want := []string{"reject by \"a\" at helo, \"\"\na: helo : reject 550 5.7.1 no, 1"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What comes between two messages belongs to the session, and the message before does
// not become part of it.
func TestEventsBetweenMessages(t *testing.T) {
	got := told(t, func(w *milterkit.Walk) {
		ctx := context.Background()
		for range 2 {
			w.Helo(ctx, "mx")
			w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
			w.Message(ctx, []byte("\r\nHello\r\n"))
		}
	}, milterkit.Slot{Child: childOf("a", milterkit.Hooks{
		Helo:  func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Continue },
		Mail:  func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
		Reset: func() {},
	})})
	want := "accept by \"\" at no stage, \"\"\na: helo : continue, 1\na: helo : continue, 1\na: mail : continue, 1"
	if len(got) != 2 || got[1] != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n\n"), want)
	}
}

// Pieces of a body in a row are one event, of each child of a group, and a session that
// goes on for ever does not fill memory: what is left out is about recipients, and not
// what was said of the content in the end.
func TestEventsAreBounded(t *testing.T) {
	hooks := milterkit.Hooks{
		Helo: func(context.Context, *milterkit.Session) milterkit.Verdict { return milterkit.Continue },
		Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
			return milterkit.Continue
		},
		Body: func(context.Context, *milterkit.Message, []byte) milterkit.Verdict { return milterkit.Continue },
		Message: func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
			return milterkit.Reject("no")
		},
	}
	piece := make([]byte, 60000)
	got := told(t, func(w *milterkit.Walk) {
		ctx := context.Background()
		for range 2000 {
			w.Helo(ctx, "mx")
		}
		for _, rcpts := range []int{2000, 1} {
			w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
			for i := range rcpts {
				w.Rcpt(ctx, milterkit.NewAddress(fmt.Sprintf("<%d@example.org>", i)))
			}
			w.EndOfHeader(ctx)
			for range 1000 {
				w.Body(ctx, piece)
			}
			w.EndOfMessage(ctx)
		}
	}, milterkit.Slot{Child: childOf("a", hooks)}, milterkit.Slot{Child: childOf("b", hooks), Together: true})
	for i, most := range []int{904, 106} {
		if n := strings.Count(got[i], "\n"); n != most {
			t.Errorf("message %d: %d events, want %d", i, n, most)
		}
		for _, want := range []string{"a: body : continue, 1000", "b: body : continue, 1000", "a: end of message : reject 550 no, 1"} {
			if !strings.Contains(got[i], want) {
				t.Errorf("message %d: %q is not in %s", i, want, got[i][len(got[i])-200:])
			}
		}
	}
}

// What is said of a piece of the body, other than to go on, is an event of its own.
func TestEventOfAPieceThatIsRefused(t *testing.T) {
	pieces := 0
	got := told(t, func(w *milterkit.Walk) {
		w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
		for range 5 {
			w.Body(context.Background(), make([]byte, 64<<10))
		}
		w.EndOfMessage(context.Background())
	}, milterkit.Slot{Child: childOf("a", milterkit.Hooks{Body: func(context.Context, *milterkit.Message, []byte) milterkit.Verdict {
		if pieces++; pieces == 4 {
			return milterkit.Reject("no")
		}
		return milterkit.Continue
	}})})
	if want := "reject by \"a\" at end of message, \"\"\na: body : continue, 3\na: body : reject 550 no, 1"; !slices.Equal(got, []string{want}) {
		t.Errorf("%q", got)
	}
}

// A child whose edit cannot be made has failed, and that is what its event says.
func TestAnEditThatCannotBeMadeIsAFailureInTheEvents(t *testing.T) {
	got := told(t, func(w *milterkit.Walk) {
		w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
		w.Message(context.Background(), []byte("\r\nHello\r\n"))
	}, milterkit.Slot{Child: milterkit.OnMessage("a", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X Y", "1")
		return milterkit.Accept
	})})
	if want := `end of message : fail: add header: "X Y" is not the name of a header field, 1`; !strings.HasSuffix(got[0], want) {
		t.Errorf("%s", got[0])
	}
}

// A report has the header as far as it has arrived, and never that of a message before,
// whose memory is another's by then.
func TestReportHasTheHeaderOfItsOwnMessage(t *testing.T) {
	ctx := context.Background()
	for edits := range 2 {
		for name, c := range map[string]struct {
			second func(*milterkit.Walk)
			want   []string
		}{
			"aborted before its header": {func(*milterkit.Walk) {}, nil},
			"aborted within it":         {func(w *milterkit.Walk) { w.Header([]byte("X-Second"), []byte(" 2")) }, []string{"X-Second: 2"}},
			"whole":                     {func(w *milterkit.Walk) { w.Message(ctx, []byte("X-Second: 2\r\n\r\n")) }, []string{"X-Second: 2", "X-Added: yes"}[:1+edits]},
		} {
			t.Run(fmt.Sprintf("%s, %d edits", name, edits), func(t *testing.T) {
				d, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("a", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
					for range edits {
						e.AddHeader("X-Added", "yes")
					}
					return milterkit.Continue
				})})
				if err != nil {
					t.Fatal(err)
				}
				d.Logger = slog.New(slog.DiscardHandler)
				var got []string
				d.OnReport = func(r *milterkit.Report) {
					got = nil
					for _, f := range r.Message.Header() {
						got = append(got, fmt.Sprintf("%s:%s", f.Name, f.Value))
					}
				}
				w := d.Walk(milterkit.AllActions)
				w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
				w.Message(ctx, []byte("X-First: 1\r\n\r\n"))
				w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
				c.second(w)
				w.Close()
				if !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		}
	}
}

// A hook that is given up has its event, also where the session is in a hook of another
// child meanwhile; what it goes on to do to its edits is nobody's to see.
func TestEventOfAHookThatIsGivenUp(t *testing.T) {
	t.Parallel()
	over, ended, gone := make(chan bool), make(chan bool), make(chan bool)
	hangs := milterkit.Slot{Child: milterkit.OnMessage("hangs", func(ctx context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		defer close(ended)
		go func() { <-ctx.Done(); time.Sleep(300 * time.Millisecond); close(gone) }() // beyond the grace
		for {
			select {
			case <-over:
				return milterkit.Reject("too late")
			case <-time.After(time.Millisecond):
				e.AddHeader("X-Late", "1")
			}
		}
	}), Together: true, ContentTimeout: 20 * time.Millisecond, DefaultAction: milterkit.DefaultAccept}
	prompt := milterkit.Slot{Child: childOf("prompt", milterkit.Hooks{Prompt: true,
		Message: func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
			<-gone
			return milterkit.Continue
		}})}
	got := told(t, func(w *milterkit.Walk) {
		ctx := context.Background()
		for range 2 {
			w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
			w.Message(ctx, []byte("\r\nHello\r\n"))
		}
	}, prompt, hangs)
	close(over)
	<-ended
	want := []string{
		"accept by \"\" at no stage, \"\"\nhangs: end of message : fail: " + milterkit.ErrTimeout.Error() + ", 1\nprompt: end of message : continue, 1",
		"accept by \"\" at no stage, \"\"\nprompt: end of message : continue, 1", // it is not asked any more
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n\n"), strings.Join(want, "\n\n"))
	}
}

// A child that has no time left is not asked, and that is an event too. What a child is
// told, and not asked, is none.
func TestEventOfAChildForWhichNoTimeIsLeft(t *testing.T) {
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: childOf("a", milterkit.Hooks{
		Mail:  func(context.Context, *milterkit.Envelope) milterkit.Verdict { return milterkit.Continue },
		Reset: func() {},
		Close: func() {},
	})})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger, d.StageTimeout = slog.New(slog.DiscardHandler), 1
	var got []milterkit.Event
	d.OnReport = func(r *milterkit.Report) { got = slices.Clone(r.Events) }
	w := d.Walk(milterkit.AllActions)
	w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
	w.Reset()
	w.Helo(context.Background(), "mx")
	w.Close()
	if len(got) != 1 || got[0].At != milterkit.StageMail || got[0].Verdict.Err() != milterkit.ErrNoTimeLeft || got[0].Took != 0 {
		t.Errorf("%+v", got)
	}
}
