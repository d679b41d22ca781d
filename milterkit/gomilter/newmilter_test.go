package gomilter_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/gomilter"
)

// A filter that does not come keeps its own session waiting, and no other.
func TestNewMilterThatHangsKeepsNoOtherSessionOut(t *testing.T) {
	t.Parallel()
	come := make(chan struct{})
	var calls atomic.Int32
	c := &gomilter.Child{Label: "late", Logger: slog.New(slog.DiscardHandler), Server: &milter.Server{NewMilter: func() milter.Milter {
		if calls.Add(1) == 1 {
			<-come
		}
		return milter.NoOpMilter{}
	}}}
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: c, CommandTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	for _, want := range []milterkit.Kind{milterkit.KindTempFail, milterkit.KindContinue, milterkit.KindContinue} {
		w := d.Walk(milterkit.AllActions)
		w.Connect(t.Context(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
		if v := w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>")); v.Kind() != want {
			t.Errorf("MAIL: %v, want %v", v, want)
		}
		w.Close()
	}
	close(come)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
