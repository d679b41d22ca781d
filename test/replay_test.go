package test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/milterkit/sdk/test/stack"
)

// TestReplayAsksRealMilters replays two messages past OpenDKIM, which signs, and
// clamav-milter: the clean one gets its signature and what clamav-milter adds, the one
// with a virus is refused. Against itself nothing differs; against OpenDKIM alone what
// does is clamav-milter's, and no signature.
func TestReplayAsksRealMilters(t *testing.T) {
	b := start(t)
	if b.kitErr != nil {
		t.Fatal(b.kitErr)
	}
	dir, err := os.MkdirTemp(b.root.Dir, "replay")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	write := func(name, text string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	section := func(name, socket string) string {
		return "[[milter]]\nname = \"" + name + "\"\nsocket = \"" + socket + "\"\n"
	}
	signer := "[server]\nuser = \"nobody\"\ntemp_dir = \"/tmp\"\nlisten = [\"unix:" + dir + "/sock\"]\n" +
		section("sign", (&stack.OpenDKIM{Root: b.root, Name: "dkim-relaxed"}).Socket())
	both := write("both.toml", signer+section("clamav", (&stack.ClamavMilter{Root: b.root}).Socket()))
	alone := write("alone.toml", signer)
	clean, virus := write("clean.eml", string(letter("clean", "", "Hello Bob."))), write("virus.eml", string(letter("virus", "", stack.EICAR)))
	replay := func(status int, wants []string, args ...string) string {
		t.Helper()
		out, err := b.binary.Output(t.Context(), append([]string{"replay", "-c", both, "--client", "127.0.0.1", "--name", "localhost"}, args...)...)
		got := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			got = exit.ExitCode()
		}
		if got != status {
			t.Errorf("replay %v ends with %d, want %d: %v\n%s", args, got, status, err, out)
		}
		wantText(t, out, wants...)
		return out
	}
	replay(0, []string{"\n+DKIM-Signature: v=1;", "\n+X-Virus-Status: Clean\n", ": accepted\n"}, clean)
	replay(1, []string{"by clamav at end of message: 550 5.7.1 "}, virus)
	replay(0, []string{"2  the same"}, "--against", both, clean, virus)
	out := replay(1, []string{"\n-X-Virus-Status: Clean\n", "- reject\n", "+ accept\n", "1  reject → accept", "1  message"}, "--against", alone, clean, virus)
	if strings.Contains(out, "\n-DKIM-Signature") || strings.Contains(out, "\n+DKIM-Signature") {
		t.Errorf("signatures differ:\n%s", out)
	}
}
