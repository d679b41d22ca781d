package daemon

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A milter that keeps to the protocol gets a table and status 0.
func TestConformOfAGoodMilter(t *testing.T) {
	t.Parallel()
	_, socket := filter(t, nil)
	out, status := call(t, newConformCommand(), "", socket)
	for _, want := range []string{"ok      negotiation, version 6         version 6; is shown connect helo mail", "ok      odd: no body\n", "ok      many sessions at once          20\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if status != exitOK {
		t.Errorf("status %d:\n%s", status, out)
	}
}

// One that does not gets what it did and what the protocol says, and status 1.
func TestConformOfABadMilter(t *testing.T) {
	t.Parallel()
	_, socket := filter(t, map[byte][]miltertest.Answer{wire.CmdRcpt: {{After: miltertest.Frame(wire.RepContinue, "")}}})
	out, status := call(t, newConformCommand(), "", socket)
	want := `failed  an answer to each command      after rcpt: milter protocol: CONTINUE: nobody asked for it
                                       The protocol: every command is answered once, in time, unless the milter has
                                       promised that`
	if status != exitFault || !strings.Contains(out, want) || !strings.Contains(out, "does not keep to the protocol: 1 check failed") {
		t.Errorf("status %d, want %q in:\n%s", status, want, out)
	}
}

// For programs there is JSON.
func TestConformAsJSON(t *testing.T) {
	t.Parallel()
	out, status := call(t, newConformCommand(), "", "unix:"+filepath.Join(t.TempDir(), "none"), "--json")
	out, _, _ = strings.Cut(out, "error:")
	var findings []struct{ Check, Result, Text, Rule string }
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatal(err, out)
	}
	if status != exitFault || len(findings) != 2 || findings[0].Result != "failed" || !strings.Contains(findings[0].Text, "cannot connect to the milter") || findings[0].Rule == "" {
		t.Errorf("status %d: %+v", status, findings)
	}
}

func TestConformRefusesWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{}, {"nothing"}, {"systemd:x"}, {"inet:1", "--timeout", "0s"}, {"inet:1", "--sessions", "-1"}, {"inet:1", "--color", "red"}, {"inet:1", "x"}} {
		if out, status := call(t, newConformCommand(), "", args...); status != exitUsage {
			t.Errorf("%q: status %d: %s", args, status, out)
		}
	}
}
