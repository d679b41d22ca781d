package milterkit

import (
	"testing"
	"time"
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
