package miltertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A recorder is a test that is told of failures, and does not fail.
type recorder struct {
	testing.TB
	text strings.Builder
}

func (r *recorder) Helper()             {}
func (r *recorder) Error(args ...any)   { fmt.Fprintln(&r.text, args...) }
func (r *recorder) Logf(string, ...any) {}

// scriptFile writes a script to a file of the test's.
func scriptFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script.txt")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// picky refuses nobody@, spammer@ and who@.
func picky() milterkit.Child {
	return hooked{"picky", func() milterkit.Hooks {
		return milterkit.Hooks{
			Mail: func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict {
				switch e.Sender.Addr {
				case "spammer@example.org":
					return milterkit.Reject("5.7.1 go away")
				case "who@example.org":
					return milterkit.Reject("5.7.1 you are " + e.Macro("auth_authen"))
				}
				return milterkit.Continue
			},
			Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
				if strings.HasPrefix(to.Addr, "nobody@") {
					return milterkit.Reject("5.1.1 no such user")
				}
				return milterkit.Continue
			},
		}
	}}
}

// teller tells in the header what it saw.
func teller() milterkit.Child {
	return milterkit.OnMessage("teller", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		for _, to := range m.Recipients {
			e.AddHeader("X-Saw", strings.TrimSpace(to.Raw+" "+strings.Join(to.Args, " ")))
		}
		var body []byte
		for _, piece := range m.Body() {
			body = append(body, piece...)
		}
		if len(body) > 0 {
			e.AddHeader("X-Body", fmt.Sprintf("%q", body))
			e.ReplaceBody([]byte("Hello.\r\n"))
			e.Quarantine("see X-Saw")
		}
		return milterkit.Continue
	})
}

// A hooked is a child of a function.
type hooked struct {
	name string
	make func() milterkit.Hooks
}

func (h hooked) Name() string           { return h.name }
func (h hooked) Hooks() milterkit.Hooks { return h.make() }

func TestRunPlaysAScriptAtChildren(t *testing.T) {
	Run(t, "testdata/transcripts/recipients.txt", milterkit.Slot{Child: picky()}, milterkit.Slot{Child: teller()})
}

// A filter is played a script as Postfix would play it: with macros, the parts that
// a script leaves out, an ABORT after each message, and nothing it does not want.
func TestPlayIsAsPostfix(t *testing.T) {
	f := &Filter{Script: Script{
		Steps: wire.NoHelo | wire.NoReplyHeader | wire.CanSkip,
		On: map[byte][]Answer{
			wire.CmdMail: {{If: "early@", Verdict: Accept}},
			wire.CmdBody: {{Verdict: Skip}},
			wire.CmdEOM: {
				{Message: 2, Edits: []Edit{ReplaceBody(strings.Repeat("x", 300)), AddHeader("X-Seen", "yes")}},
				{Message: 3, Edits: []Edit{AddHeader("X-Seen", "in vain")}, Text: "550-5.7.1 one\r\n550 5.7.1 two"},
			},
		},
	}}
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file := scriptFile(t, `# A script holds for a filter alone and behind milterkit.
> connect mx.example.org 2001:db8::7
< continue
> helo mx.example.org
< continue
> mail <early@example.org>
< continue
> rcpt <bob@example.net>
< continue
> header Subject: not seen
> eom
< continue
> mail <late@example.org>
< continue
> rcpt <bob@example.net>
> header Subject: seen
> body 100000 lines of x
> eom
< add header X-Seen: yes
< replace body, 300 bytes
< continue
> mail <refused@example.org>
> rcpt <bob@example.net>
> eom
< 550-5.7.1 one / 550 5.7.1 two
`)
	Play(t, file, "unix", addr)
	if err := f.Idle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	want := []string{"connect mx.example.org 6 2001:db8::7 0", "mail <early@example.org>", "abort", "mail <late@example.org>", "rcpt <bob@example.net>",
		"data", "header Subject:seen", "eoh", "body", "eom", "abort", "mail <refused@example.org>", "rcpt <bob@example.net>", "data", "eoh", "eom", "abort", "quit"}
	saw := f.Saw()
	for i, line := range saw {
		if strings.HasPrefix(line, "body ") {
			saw[i] = "body"
		}
	}
	if d := cmp.Diff(want, saw); d != "" {
		t.Error(d)
	}
	if macros := strings.Join(f.SawMacros(), "\n"); !strings.Contains(macros, "macros mail {mail_addr}=late@example.org") {
		t.Error(macros)
	}
}

// What is not as the script has it is told by line, as a diff.
func TestAFailureIsADiff(t *testing.T) {
	r := &recorder{TB: t}
	file := scriptFile(t, `# Nobody is taken.
> connect mail.example.org 192.0.2.7
> mail <a@example.org>
> rcpt <nobody@example.net>
> rcpt <bob@example.net>
< 550 5.1.1 ...
> header Subject: hello
> body hi
> eom
< add header X-Saw: ...
< quarantine: no reason
< continue
`)
	Run(r, file, milterkit.Slot{Child: picky()}, milterkit.Slot{Child: teller()})
	want := strings.ReplaceAll(`FILE:4: wanted (-) and answered (+):
      > rcpt <nobody@example.net>
    - < continue
    + < 550 5.1.1 no such user

FILE:5: wanted (-) and answered (+):
      > rcpt <bob@example.net>
    - < 550 5.1.1 ...
    + < continue

FILE:9: wanted (-) and answered (+):
      > eom
      < add header X-Saw: ...
    - < quarantine: no reason
    + < add header X-Body: "hi\r\n"
    + < quarantine: see X-Saw
    + < replace body "Hello.\r\n"
      < continue

`, "FILE", file)
	if d := cmp.Diff(want, r.text.String()); d != "" {
		t.Error(d)
	}
}

// An update writes the answers, and leaves what holds as it is.
func TestUpdateWritesTheAnswers(t *testing.T) {
	file := scriptFile(t, `# Recipients.

> connect mail.example.org 192.0.2.7
> mail <a@example.org>
# nobody
> rcpt <nobody@example.net>
> rcpt <bob@example.net>
< reject
>   header Subject: hello
> eom
< add header X-Saw: <...>
< add header X-Gone: yes

# the end
`)
	t.Setenv(updateVariable, "1")
	Run(t, file, milterkit.Slot{Child: picky()}, milterkit.Slot{Child: teller()})
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Recipients.

> connect mail.example.org 192.0.2.7
> mail <a@example.org>
# nobody
> rcpt <nobody@example.net>
< 550 5.1.1 no such user
> rcpt <bob@example.net>
< continue
> header Subject: hello
> eom
< add header X-Saw: <...>
< continue

# the end
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	t.Setenv(updateVariable, "")
	Run(t, file, milterkit.Slot{Child: picky()}, milterkit.Slot{Child: teller()})
}

// Edits are no answer: where nothing else stands the message goes on, and a refusal
// instead is a difference.
func TestEditsAloneMeanContinue(t *testing.T) {
	file := scriptFile(t, `# Recipients are told.
> connect mail.example.org 192.0.2.7
> mail <a@example.org>
> rcpt <bob@example.net>
> eom
< add header X-Saw: <bob@example.net>
`)
	Run(t, file, milterkit.Slot{Child: teller()})
	t.Setenv(updateVariable, "1")
	before, _ := os.ReadFile(file)
	Run(t, file, milterkit.Slot{Child: teller()})
	if after, err := os.ReadFile(file); string(after) != string(before) {
		t.Errorf("what holds is written anew: %v\n%s", err, after)
	}
	t.Setenv(updateVariable, "")
	r := &recorder{TB: t}
	Run(r, file, milterkit.Slot{Child: milterkit.OnMessage("no", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return milterkit.Reject("5.7.1 no")
	})})
	want := file + `:5: wanted (-) and answered (+):
      > eom
    - < add header X-Saw: <bob@example.net>
    - < continue
    + < 550 5.7.1 no

`
	if d := cmp.Diff(want, r.text.String()); d != "" {
		t.Error(d)
	}
}

// In a bubble ten minutes pass at once.
func TestWaitingInABubble(t *testing.T) {
	file := scriptFile(t, `# A client that comes again after ten minutes is let through.
> connect mail.example.org 192.0.2.7
< 451 4.7.1 ...
> quit
> wait 10m
> connect mail.example.org 192.0.2.7
< continue
`)
	synctest.Test(t, func(t *testing.T) {
		var first time.Time
		Run(t, file, milterkit.Slot{Child: hooked{"grey", func() milterkit.Hooks {
			return milterkit.Hooks{Connect: func(context.Context, *milterkit.Session) milterkit.Verdict {
				if first.IsZero() {
					first = time.Now()
				}
				if time.Since(first) < 10*time.Minute {
					return milterkit.TempFail("4.7.1 come again")
				}
				return milterkit.Continue
			}}
		}}})
	})
}

// An error in a script names the file, the line and what would be right.
func TestErrorsInAScript(t *testing.T) {
	const open = "# A rule.\n> connect a 192.0.2.1\n"
	for text, want := range map[string]string{
		"":                                      "f: has no command; write one such as > connect mail.example.org 192.0.2.7",
		"# Only a rule.\n":                      "f: has no command; write one",
		"> connect a\n":                         "f:1: a script begins with the rule that it holds",
		"# A rule.\nconnect a\n":                `f:2: "connect a" is no line of a script: begin it with >`,
		"# A rule.\n> mail <a@b>\n":             "f:2: mail before connect: write > connect",
		"# A rule.\n< continue\n":               "f:2: an answer comes after its command",
		open + "\n< continue\n":                 "f:4: an answer stands right under its command",
		open + "> rcpt <a@b>\n":                 "f:3: rcpt before mail: write > mail <a@example.org> first",
		open + "> connect b\n":                  "f:3: connect within a session: end it first, with > quit",
		open + "> mial <a@b>\n":                 `f:3: "mial" is no command: there are macros, connect`,
		open + "> mail\n":                       "f:3: write the address: > mail <a@example.org>",
		open + "> abort\n< continue\n":          "f:4: nobody answers abort",
		open + "< contine\n":                    `f:3: "contine" is no answer: write continue, accept`,
		open + "< add header A: b\n":            `f:3: a filter may ask for "add header" only at the end of a message: move the line under > eom`,
		open + "> helo a\\b\\q\n":               `f:3: "\\q" begins with a backslash that stands for nothing: write \\ for a backslash`,
		open + "> helo\n":                       "f:3: helo of nothing: write > helo mail.example.org",
		open + "> helo a\\x00\n":                "f:3: a NUL can stand in a body or a field only",
		open + "> wait long\n":                  `f:3: "long" is no time to wait: write one such as 90s`,
		open + "> data now\n":                   `f:3: data stands alone: leave out "now"`,
		open + "> macros nail i=1\n":            `f:3: macros for "nail": write the command that they are for`,
		open + "> macros mail i\n":              `f:3: "i" is no macro: write NAME=VALUE`,
		"# A rule.\n> connect a nowhere\n":      `f:2: "nowhere" is no address: write 192.0.2.7`,
		"# A rule.\n> connect a 192.0.2.1 x\n":  `f:2: "x" is no port`,
		open + "> mail a\n> header A\n":         "f:4: write name and value of the field: > header Subject: hello",
		open + "> mail a\n> body \"a\n":         "f:4: bytes stand between quotes",
		open + "> mail a\n> eoh\n> header A: b": "f:5: header after the end of the header",
		open + "> mail a\n> eoh\n> rcpt b":      "f:5: rcpt within the content of a message",
		open + "> mail a\n> body 999999999 lines of many bytes\n": "f:4: 999999999 lines of this are more than 256 MB",
	} {
		_, err := parseTranscript("f", text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// A filter that goes away fails the test, at the line.
func TestAFilterThatClosesIsAnError(t *testing.T) {
	f := &Filter{Script: Script{On: map[byte][]Answer{wire.CmdMail: {{Close: true}}}}}
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &recorder{TB: t}
	file := scriptFile(t, "# A rule.\n> connect a\n> mail <a@b>\n")
	Play(r, file, "unix", addr)
	if want := file + ":3: > mail <a@b>: answer to MAIL: the filter has closed the connection"; !strings.HasPrefix(r.text.String(), want) {
		t.Errorf("got %s, want %s", &r.text, want)
	}
}

func TestDotsStandForAnyText(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"continue", "continue", true}, {"continue", "accept", false}, {"...", "", true}, {"a...c", "abc", true}, {"a...c", "ac", true},
		{"a...c", "abcd", false}, {"a...b...c", "a-b-b-c", true}, {"a...b...c", "a-c", false}, {"...b", "ab", true}, {"ab...ba", "aba", false},
	} {
		if got := like(c.pattern, c.text); got != c.want {
			t.Errorf("like(%q, %q) is %t", c.pattern, c.text, got)
		}
	}
}

// FuzzTranscript reads a script, writes it and reads it again: it stays the same.
func FuzzTranscript(f *testing.F) {
	files, _ := filepath.Glob("testdata/transcripts/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := parseTranscript("f", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("the error names no file: %v", err)
			}
			return
		}
		again, err := parseTranscript("f", first.String())
		if err != nil {
			t.Fatalf("%v, of what was written:\n%s", err, first)
		}
		if d := cmp.Diff(first, again, cmp.AllowUnexported(transcript{}, exchange{}, command{}, Macro{})); d != "" {
			t.Fatal(d)
		}
		if first.String() != again.String() {
			t.Fatalf("written once:\n%s\nand twice:\n%s", first, again)
		}
	})
}
