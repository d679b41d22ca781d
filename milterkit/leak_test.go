package milterkit

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

// Tests leave no goroutine behind: no session, no worker, no hook.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A Server that has had many Dispatchers holds on to none but the last: the context of
// each is done with it.
func TestContextOfWhatWasReplacedIsDone(t *testing.T) {
	s := &Server{Dispatcher: quietDispatcher(t)}
	s.init()
	old := s.now
	s.Replace(quietDispatcher(t))
	if old.ctx.Err() == nil || s.now.ctx.Err() != nil {
		t.Errorf("the old one's: %v, the new one's: %v", old.ctx.Err(), s.now.ctx.Err())
	}
}

// Between messages little memory is kept for events, however many there were.
func TestEventsOfALongMessageAreLetGo(t *testing.T) {
	d := quietDispatcher(t, Slot{Child: OnRcpt("a", func(context.Context, *Envelope, Address) Verdict { return Continue })})
	d.OnReport = func(*Report) {}
	w := d.Walk(0)
	defer w.Close()
	w.Mail(ctxTest, NewAddress("<a@b>"))
	for i := range 500 {
		w.Rcpt(ctxTest, NewAddress(fmt.Sprint(i)))
	}
	w.Reset()
	if n := cap(w.report.events.list); n > keptEvents {
		t.Errorf("room for %d events is kept, want %d at most", n, keptEvents)
	}
}
