package milterkit

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// TestMTAIsKnownByMacroV: nothing else on the wire tells who asks.
func TestMTAIsKnownByMacroV(t *testing.T) {
	for v, want := range map[string]mta{
		"Postfix 3.7.11": postfix, "Postfix": postfix,
		"8.17.1.9": sendmail, "8.18.1/8.18.1/Debian-2": sendmail,
		"": unknownMTA, "OpenSMTPD": unknownMTA,
	} {
		if got := mtaOf(v); got != want {
			t.Errorf("v=%q is taken for %d, want %d", v, got, want)
		}
	}
}

// TestSendmailGetsNoProgressBeforeTheEnd: it would be done with the filter.
func TestSendmailGetsNoProgressBeforeTheEnd(t *testing.T) {
	for at := StageConnect; at <= StageUnknown; at++ {
		content := at == StageHeader || at == StageBody || at == StageMessage
		for m, want := range map[mta]bool{postfix: true, sendmail: content, unknownMTA: content} {
			if got := m.takesProgress(at); got != want {
				t.Errorf("MTA %d at %s takes progress: %v, want %v", m, at, got, want)
			}
		}
	}
}

// TestTimesStayBelowTheMTAs: 10 s and 5 minutes behind Sendmail.
func TestTimesStayBelowTheMTAs(t *testing.T) {
	if got := sendmail.stageTimeout(DefaultStageTimeout) + endTimeout + 2*grace; got >= 10*time.Second {
		t.Errorf("a stage and the end of the message before it may take %v behind Sendmail, which waits 10 s", got)
	}
	if got := postfix.stageTimeout(DefaultStageTimeout) + endTimeout + 2*grace; got >= 30*time.Second {
		t.Errorf("a stage and the end of the message before it may take %v behind Postfix, which waits 30 s", got)
	}
	if got := sendmail.messageTimeout(time.Hour) + grace; got >= 5*time.Minute {
		t.Errorf("a message may take %v behind Sendmail, which waits 5 minutes", got)
	}
	if got := sendmail.stageTimeout(time.Second); got != time.Second {
		t.Errorf("a stage timeout of 1 s becomes %v", got)
	}
}

// TestEditsFollowTheMTA: the same two children behind each MTA, whose deletes
// count or do not, and whose next filter sees the lines of a value as they were
// given, or as Postfix writes them.
func TestEditsFollowTheMTA(t *testing.T) {
	for _, test := range []struct{ v, shown, edits string }{
		{"Postfix 3.7.11", "b; one\n\ttwo", "delete header 3 A| delete header 1 A| add header 0 N one\n\ttwo"},
		{"8.17.1.9", "c; one\ntwo", "delete header 1 A| delete header 2 A| add header 0 N one\ntwo"},
	} {
		shown := ""
		w := quietDispatcher(t,
			Slot{Child: OnMessage("first", func(_ context.Context, _ *Message, e *Edits) Verdict {
				e.DeleteHeader("A", 1)
				e.DeleteHeader("A", 2)
				e.AddHeader("N", "one\ntwo")
				return Continue
			})},
			Slot{Child: OnMessage("second", func(_ context.Context, m *Message, _ *Edits) Verdict {
				shown = m.Get("A") + "; " + m.Get("N")
				return Continue
			})}).Walk(wire.AllActions)
		w.Macros(StageConnect, maps.All(map[string]string{"v": test.v}))
		w.Connect(ctxTest, "localhost", FamilyInet, "127.0.0.1", 25)
		w.Mail(ctxTest, NewAddress("<a@b>"))
		w.Rcpt(ctxTest, NewAddress("<c@d>"))
		for _, value := range []string{" a", " b", " c"} {
			w.Header([]byte("A"), []byte(value))
		}
		var edits []string
		for _, e := range w.EndOfMessage(ctxTest).Edits {
			edits = append(edits, fmt.Sprintf("%s %d %s%s", e.Op, e.Index, e.Name, e.Value))
		}
		if got := strings.Join(edits, "| "); got != test.edits || shown != test.shown {
			t.Errorf("behind %s the edits are %q, want %q; the second child saw %q, want %q", test.v, got, test.edits, shown, test.shown)
		}
		w.Close()
	}
}
