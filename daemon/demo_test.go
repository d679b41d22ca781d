package daemon

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestDemoEndsAsItShould(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out, status := call(t, newDemoCommand(), "")
	if status != 0 || !strings.Contains(out, "All 8 messages ended as they should") {
		t.Errorf("status %d:\n%s", status, out)
	}
	for _, want := range []string{
		"subject     reject 550 5.7.1 we have a watch at header", "recipients  reject 550 5.1.1 no such user here at rcpt",
		"quota       tempfail 451 4.7.1 you have sent enough for now at mail", "candidate   shadow would: reject", "its default_action: accept",
		"+X-Outside: yes", "+Subject: [list] newsletter 7", "+This mail came from outside.", "quarantined: an invoice",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") || strings.Contains(out, dir) {
		t.Errorf("colours or paths in:\n%s", out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoSaysWhatIsNotAsItShouldBe(t *testing.T) {
	s := demoSessions[0]
	m := s.mails[0]
	m.want = "rejected"
	s.mails = []demoMail{m}
	var out bytes.Buffer
	err := demo(t.Context(), &out, false, []demoSession{s})
	var coded *statusError
	if !errors.As(err, &coded) || coded.status != 1 || !strings.Contains(err.Error(), "message 1, A message passes") ||
		!strings.Contains(err.Error(), "want rejected") || !strings.Contains(out.String(), "NOT as it should") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
