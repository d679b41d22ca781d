package miltertest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// failing is the environment variable that has TestThatFails fail, in a process of
// its own, with the name of a file that is a script.
const failing = "MILTERTEST_FAILING_SCRIPT"

// nowhere is a child that breaks a rule, in a hook.
func nowhere() milterkit.Child {
	return milterkit.OnMessage("nowhere", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Fail(errors.New("there is no server"))
	})
}

// line returns the line of its caller.
func line() int {
	_, _, n, _ := runtime.Caller(1)
	return n
}

// TestThatFails is what TestFailuresAreAtTheLineOfTheUser looks at.
func TestThatFails(t *testing.T) {
	script := os.Getenv(failing)
	if script == "" {
		return // it is the other one's
	}
	t.Logf("HERE %d", line())
	miltertest.TestChild(t, nowhere)
	miltertest.ChildTest{New: nowhere}.Run(t)
	miltertest.Run(t, script, milterkit.Slot{Child: nowhere()})
	miltertest.Play(t, script, "unix", script+".nobody")
}

// A failure stands at the line of the test that calls TestChild, Run or Play, also where a
// hook has failed on another goroutine. With a script it tells why a child failed,
// and nothing of each message.
func TestFailuresAreAtTheLineOfTheUser(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script.txt")
	if err := os.WriteFile(script, []byte("# Mail is taken.\n> connect a\n> mail <a@b>\n> rcpt <c@d>\n> eom\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestThatFails$")
	cmd.Env = append(os.Environ(), failing+"="+script)
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err == nil {
		t.Fatalf("it does not fail:\n%s", text)
	}
	here := regexp.MustCompile(`HERE ([0-9]+)`).FindStringSubmatch(text)
	if here == nil {
		t.Fatal(text)
	}
	first, _ := strconv.Atoi(here[1])
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\S+\.go:[0-9]+): `).FindAllStringSubmatch(text, -1) {
		seen[m[1]] = true
	}
	for i := range 5 {
		at := "location_test.go:" + strconv.Itoa(first+i)
		if !seen[at] {
			t.Errorf("nothing is at %s", at)
		}
		delete(seen, at)
	}
	if len(seen) > 0 {
		t.Errorf("it tells of %v too:\n%s", seen, text)
	}
	if !strings.Contains(text, `msg="milter failed"`) || !strings.Contains(text, "there is no server") || strings.Contains(text, "level=INFO") {
		t.Errorf("the log is not that of the failure alone:\n%s", text)
	}
}
