package daemon

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// ownDoc is the page that tells how to build a milterkit of one's own.
const ownDoc = "../docs/your-own-milterkit.md"

// blocks returns the parts of the page that are in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(ownDoc)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// ownProgram builds the program of the page, as "mymilterkit".
func ownProgram(t *testing.T) string {
	t.Helper()
	// Below this folder, so that this module is the one that is built against.
	dir, err := os.MkdirTemp(".", ".own")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(strings.Join(blocks(t, "go"), "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(publicDir(t), "mymilterkit")
	if out, err := exec.Command("go", "build", "-o", path, "./"+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// The main of the page has no more than fifteen lines, imports apart.
func TestYourOwnMilterkitHasFifteenLines(t *testing.T) {
	main := regexp.MustCompile(`(?s)\nimport \(.*?\n\)\n`).ReplaceAllString(blocks(t, "go")[0], "")
	if n := strings.Count(main, "\n"); n > 15 {
		t.Errorf("it has %d:\n%s", n, main)
	}
}

// A milterkit of one's own is milterkit with one child more: the file names the
// child and its options, and the child has its say about mail.
func TestYourOwnMilterkit(t *testing.T) {
	t.Parallel()
	own := ownProgram(t)
	dir := publicDir(t)
	call := func(args ...string) (status int, stdout, stderr string) {
		var out, errs bytes.Buffer
		cmd := exec.Command(own, args...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}
	page := blocks(t, "toml")[0]
	file := configFile(t, dir, page)

	for max, want := range map[string]string{
		"mx   = 50":    `:10:1: unknown key "mx" in [milter.options]; did you mean "max"?`,
		"max  = \"5\"": `:10:8: max: this is a string; write a whole number, without quotes, such as 100`,
		"max  = 0":     ":10:1: max: 0 lets no recipient in; write a number such as 100",
	} {
		bad := configFile(t, publicDir(t), strings.Replace(page, "max  = 50", max, 1))
		for _, command := range []string{"check", "serve", "show-config"} {
			if status, _, stderr := call(command, "--config", bad); status != exitConfig || stderr != bad+want+"\n" {
				t.Errorf("%s with %s: status %d\n%s\nwant\n%s", command, max, status, stderr, bad+want)
			}
		}
	}
	if status, stdout, stderr := call("check", "--config", file); status != exitOK || !strings.Contains(stdout, "configuration is good: 1 milter") {
		t.Errorf("check: status %d\n%s%s", status, stdout, stderr)
	}
	if _, stdout, _ := call("show-config", "--config", file); !regexp.MustCompile(`\nuse += "max-rcpt" .*\n(.*\n)*\[milter.options\]\nmax += 50 +# .*:10\n$`).MatchString(stdout) {
		t.Errorf("show-config:\n%s", stdout)
	}
	if _, _, stderr := call("sreve"); !strings.HasPrefix(stderr, `mymilterkit: unknown command "sreve" for "mymilterkit"`) {
		t.Error(stderr)
	}
	if _, stdout, _ := call("version"); !strings.HasPrefix(stdout, "mymilterkit ") {
		t.Error(stdout)
	}

	file = configFile(t, dir, strings.Replace(page, "max  = 50", "max  = 2", 1))
	cmd := exec.Command(own, "serve", "--config", file)
	cmd.Env = os.Environ()
	r := begin(t, cmd)
	mta, err := miltertest.Dial(t.Context(), "unix", filepath.Join(dir, "s"), miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	p := &miltertest.Player{MTA: mta, Client: miltertest.Client{Host: "mx.example.org", Family: wire.FamilyInet, Addr: "192.0.2.1"}}
	p.Open()
	o, err := p.Mail(miltertest.Mail{
		From:    "<alice@example.org>",
		To:      []miltertest.Recipient{{Addr: "<a@example.net>"}, {Addr: "<b@example.net>"}, {Addr: "<c@example.net>"}},
		Message: miltertest.ParseMessage([]byte("Subject: hello\n\nHi.\n")),
	})
	p.Close()
	if err != nil || len(o.Envelope.To) != 2 || len(o.Refused) != 1 || o.Refused[0] != "<c@example.net>" {
		t.Errorf("%v: taken %v, refused %v", err, o.Envelope.To, o.Refused)
	}
	r.logs(t, "refused_by=few", "too many recipients, send the rest later")
	r.stop(t)
}

// What the commands of such a program tell to type is its own name.
func TestHelpNamesTheProgram(t *testing.T) {
	ours := regexp.MustCompile(`(^|[^/a-z.])milterkit (serve|check|show-config|send|sink|demo|bench|version)\b`)
	root := newRootCommand("mymilterkit", nil)
	for _, c := range root.Commands() {
		if text := c.Long + "\n" + c.Example + "\n" + c.UsageString(); ours.MatchString(text) {
			t.Errorf("%s: %q in\n%s", c.Name(), ours.FindString(text), text)
		}
	}
}
