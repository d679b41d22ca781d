package milterkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A message that the caller refuses for a reason of its own is logged as refused
// at its header, also where no child was asked since RCPT.
func TestRefusalOfTheCallersOwnIsLogged(t *testing.T) {
	var log bytes.Buffer
	d := quietDispatcher(t, Slot{Child: native("a", Hooks{})})
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w := d.Walk(wire.AllActions)
	w.Mail(ctxTest, NewAddress("<a@b>"))
	w.Rcpt(ctxTest, NewAddress("<c@d>"))
	w.Refuse(Reply(552, "5.3.4 Message header is longer than 10 bytes"))
	w.Close()
	if s := log.String(); !strings.Contains(s, "by=milterkit at=header") || strings.Contains(s, "refused_rcpts") {
		t.Error(s)
	}
}

// A DATA that was refused, with nothing after it, is what became of the message.
func TestRefusalAtDataIsLogged(t *testing.T) {
	var log bytes.Buffer
	d := quietDispatcher(t, Slot{Child: native("a", Hooks{Data: func(context.Context, *Envelope) Verdict { return TempFail("4.7.1 later") }})},
		Slot{Shadow: true, Child: native("b", Hooks{Mail: func(context.Context, *Envelope) Verdict { return Fail(errors.New("broken")) }})})
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w := d.Walk(wire.AllActions)
	w.Mail(ctxTest, NewAddress("<a@b>"))
	w.Rcpt(ctxTest, NewAddress("<c@d>"))
	w.Data(ctxTest)
	w.Close()
	for _, want := range []string{`outcome="tempfail 451 4.7.1 later" by=a at=data`, `default_action="none, it is a shadow; else tempfail"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
	}
}

// The log tells in short what was changed of a message, and nothing of one that was
// refused.
func TestTheLogTellsOfEdits(t *testing.T) {
	for _, refused := range []bool{false, true} {
		var log bytes.Buffer
		d := quietDispatcher(t,
			Slot{Child: OnMessage("tagger", func(_ context.Context, _ *Message, e *Edits) Verdict {
				e.AddHeader("X-Tag", "yes")
				e.AddRecipient("archive@d")
				return Continue
			})},
			Slot{Child: OnMessage("last", func(context.Context, *Message, *Edits) Verdict {
				if refused {
					return Reject("5.7.1 no")
				}
				return Continue
			})})
		d.Logger = slog.New(slog.NewTextHandler(&log, nil))
		w := d.Walk(wire.AllActions)
		w.Mail(ctxTest, NewAddress("<a@b>"))
		w.Rcpt(ctxTest, NewAddress("<c@d>"))
		w.Message(ctxTest, []byte("Subject: x\r\n\r\nbody\r\n"))
		w.Close()
		if told := strings.Contains(log.String(), `changes.tagger="add header X-Tag: yes; add recipient archive@d"`); told == refused {
			t.Error(log.String())
		}
	}
}

// The log names five recipients, and shows that there are more.
func TestLogShowsThatThereAreMoreRecipients(t *testing.T) {
	for n, want := range map[int]string{
		1: `to=[1@d] rcpts=1 `, 5: `to="[1@d 2@d 3@d 4@d 5@d]" rcpts=5 `, 6: `to="[1@d 2@d 3@d 4@d 5@d …]" rcpts=6 `,
	} {
		var log bytes.Buffer
		d := quietDispatcher(t, Slot{Child: native("a", Hooks{})})
		d.Logger = slog.New(slog.NewTextHandler(&log, nil))
		w := d.Walk(wire.AllActions)
		w.Mail(ctxTest, NewAddress("<a@b>"))
		for i := range n {
			w.Rcpt(ctxTest, NewAddress(fmt.Sprintf("<%d@d>", i+1)))
		}
		w.Close()
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
	}
}
