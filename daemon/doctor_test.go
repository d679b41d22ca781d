package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// remotes is a configuration of milters on sockets, by name; + before one: together
// with the one before it, - : shadow. NAME=USE is a native child.
func remotes(names string) string {
	var b strings.Builder
	for _, name := range strings.Fields(names) {
		bare := strings.TrimLeft(name, "+-")
		of, use, native := strings.Cut(bare, "=")
		b.WriteString("[[milter]]\nname = \"" + of + "\"\n")
		if native {
			b.WriteString("use = \"" + use + "\"\n")
		} else {
			b.WriteString("socket = \"/" + bare + "\"\n")
		}
		if name[0] == '+' {
			b.WriteString("together = true\n")
		}
		if name[0] == '-' {
			b.WriteString("shadow = true\n")
		}
		if use == "dkim-sign" {
			b.WriteString("[milter.options]\nkey_table = \"/k\"\nsigning_table = \"/s\"\n")
		}
	}
	return b.String()
}

// orderOf returns what is wrong with an order: RULE of NAME: the lines that mend it.
func orderOf(t *testing.T, text string, answers map[string]doctor.Answer) (all []string) {
	t.Helper()
	c, err := config.Parse("f", []byte(text), builtinNatives(t).schemas())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range doctor.Known(t.TempDir(), c).Order(answers) {
		var lines []string
		for _, m := range f.Mend {
			lines = append(lines, m.Line)
		}
		all = append(all, f.Rule+" of "+f.About+": "+strings.Join(lines, "; "))
	}
	return all
}

// An order that breaks mail is told, with what is to be moved; any other is not.
func TestOrderThatBreaksMail(t *testing.T) {
	const ours, others = "when = \"authenticated || local\"\n", "when = \"!authenticated && !local\"\n"
	for text, want := range map[string]string{
		remotes("sign=dkim-sign scan=spamd"):                                                     "edits-after-signing of sign: move [[milter]] \"sign\" (line 1) below [[milter]] \"scan\" (line 7)",
		remotes("sign=dkim-sign scan=clamd"):                                                     "edits-after-signing of sign: move [[milter]] \"sign\" (line 1) below [[milter]] \"scan\" (line 7)",
		remotes("scan=spamd +sign=dkim-sign"):                                                    "edits-after-signing of sign: together = false",
		remotes("scan=spamd sign=dkim-sign"):                                                     "",
		remotes("sign=dkim-sign") + remotes("scan=spamd") + others:                               "",
		remotes("sign=dkim-sign -scan=spamd"):                                                    "",
		remotes("opendkim spamass-milter"):                                                       "edits-after-signing of opendkim: when = \"!authenticated && !local\"; name = \"opendkim-sign\"; socket = \"unix:/opendkim\"; when = \"authenticated || local\"",
		remotes("opendkim") + others + remotes("spamass-milter"):                                 "",
		remotes("opendkim") + ours + remotes("spamass-milter"):                                   "edits-after-signing of opendkim: move [[milter]] \"opendkim\" (line 1) below [[milter]] \"spamass-milter\" (line 5)",
		remotes("opendkim opendmarc clamav-milter"):                                              "",
		remotes("opendmarc opendkim-verify"):                                                     "dmarc-first of opendmarc: move [[milter]] \"opendmarc\" (line 1) below [[milter]] \"opendkim-verify\" (line 4)",
		remotes("dmarc=dmarc spf=spf dkim=dkim-verify"):                                          "dmarc-first of dmarc: move [[milter]] \"dmarc\" (line 1) below [[milter]] \"dkim\" (line 7)",
		remotes("spf=spf +dmarc=dmarc"):                                                          "dmarc-first of dmarc: together = false",
		remotes("spf=spf dkim=dkim-verify dmarc=dmarc scan=spamd"):                               "",
		remotes("scan=spamd dkim=dkim-verify"):                                                   "forged-headers of scan: move [[milter]] \"scan\" (line 1) below [[milter]] \"dkim\" (line 4)",
		remotes("scan=rspamd") + removing("Authentication-Results", ""):                          "forged-headers of headers: move [[milter]] \"headers\" (line 4) above [[milter]] \"scan\" (line 1)",
		removing("Authentication-Results", "") + remotes("scan=rspamd"):                          "",
		remotes("scan=spamd") + removing("X-Spam-*", "from = \"message\"\n"):                     "",
		remotes("clamav-milter grey=greylist"):                                                   "late-greylist of grey: move [[milter]] \"grey\" (line 4) above [[milter]] \"clamav-milter\" (line 1)",
		remotes("grey=greylist clamav-milter"):                                                   "",
		remotes("a") + strings.Replace(remotes("b"), "/b", "/a", 1):                              "twice of b: enabled = false",
		remotes("a") + ours + strings.Replace(remotes("b"), "/b", "/a", 1) + others:              "",
		remotes("a=spf b=spf"):                                                                   "twice of b: enabled = false",
		remotes("a=clamd b=clamd"):                                                               "twice of b: enabled = false",
		remotes("a=clamd b=clamd") + "[milter.options]\naddresses = [\"inet:3310@192.0.2.1\"]\n": "",
	} {
		if got := strings.Join(orderOf(t, text, nil), "\n"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// removing is a child that removes a field.
func removing(header, from string) string {
	return remotes("headers=headers") + "[[milter.options.rule]]\nheader = \"" + header + "\"\naction = \"remove\"\n" + from
}

// A milter that nobody knows is one that edits, where it has asked for that.
func TestUnknownMilterEdits(t *testing.T) {
	text := remotes("sign=dkim-sign x")
	for actions, n := range map[wire.Actions]int{0: 0, wire.ActQuarantine: 0, wire.ActChangeBody: 1, wire.ActAddHeader: 1} {
		if got := orderOf(t, text, map[string]doctor.Answer{"x": {Version: 6, Actions: actions}}); len(got) != n {
			t.Errorf("%v: %q", actions, got)
		}
	}
}

// A child that may not be reached is told with who is kept out by what, and what to
// do about it.
func TestDeniedSaysWho(t *testing.T) {
	dir := publicDir(t)
	shut := filepath.Join(dir, "shut")
	if err := os.Mkdir(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	var f miltertest.Filter
	if _, err := f.Start("unix", filepath.Join(shut, "s")); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if os.Geteuid() != 0 {
		if err := os.Chmod(shut, 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(shut, 0o700)
	}
	file := configFile(t, dir, "user = \"nobody\"\n[[milter]]\nname = \"m\"\nsocket = \"DIR/shut/s\"\n")
	status, stdout, _ := end(t, "check", "-c", file)
	if status != exitOK || !strings.Contains(stdout, "permission denied; the user ") || !strings.Contains(stdout, " is kept out by the folder "+shut+" (") {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

// check warns of an order that breaks mail, and says in JSON what it says otherwise.
func TestCheckInJSON(t *testing.T) {
	dir := publicDir(t)
	file := configFile(t, dir, "user = \"nobody\"\n"+remotes("opendmarc opendkim-verify")+"when = \"helo == 'x'\"\n")
	var got checkJSON
	status, stdout, _ := end(t, "check", "-c", file, "--json", "--no-connect")
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != exitOK {
		t.Fatal(status, err, stdout)
	}
	if !got.Good || len(got.Milters) != 2 || got.Milters[1].Settled != "helo" || got.Milters[0].Answers != nil ||
		!slices.ContainsFunc(got.Warnings, func(w string) bool {
			return strings.HasPrefix(w, "opendmarc: it goes by the results of opendkim-verify")
		}) {
		t.Errorf("got %s", stdout)
	}
	bad := configFile(t, dir, "stage_timeout = 1\n")
	status, stdout, _ = end(t, "check", "-c", bad, "--json")
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != exitConfig || got.Good || len(got.Errors) != 1 || got.Errors[0].Line != 5 {
		t.Errorf("status %d, %v: %s", status, err, stdout)
	}
}

// What doctor starts to connect as another user has no more rights than he: root's
// socket is not his. Who cannot become another asks nobody.
func TestDoctorAsksAsAnother(t *testing.T) {
	dir := publicDir(t)
	var f miltertest.Filter
	path := filepath.Join(dir, "s")
	if _, err := f.Start("unix", path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root := os.Geteuid() == 0
	for _, c := range []struct {
		mode         os.FileMode
		chroot, path string
		wants        string
	}{
		{0o600, "", path, `"denied":true`},
		{0o666, "", path, `"version":6`},
		{0o600, dir, "/s", `"denied":true`},
		{0o666, dir, "/s", `"version":6`},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := end(t, askName, "--uid", "65534", "--groups", "65534", "--chroot", c.chroot, "unix:"+c.path)
		if root != (status == exitOK) || root != strings.Contains(stdout, c.wants) || !root && stdout != "" {
			t.Errorf("mode %v in %q: status %d\n%s%s", c.mode, c.chroot, status, stdout, stderr)
		}
	}
}

// The status of doctor says whether something is wrong.
func TestDoctorsStatus(t *testing.T) {
	dir := publicDir(t)
	postfix := filepath.Join(dir, "postfix")
	if err := os.Mkdir(postfix, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"main.cf": "mail_owner = nobody\nsmtpd_milters = inet:localhost:1\n", "master.cf": "smtp inet n - n - - smtpd\n"} {
		if err := os.WriteFile(filepath.Join(postfix, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var f miltertest.Filter
	at, err := f.Start("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	good := configFile(t, dir, "user = \"nobody\"\nlisten = [\"inet:"+at+"\"]\n")
	doctor := func(args ...string) (int, string) {
		status, stdout, stderr := end(t, append([]string{"doctor", "-c", good}, args...)...)
		return status, stdout + stderr
	}
	if status, out := doctor("--postfix-config", postfix); status != exitFault || !strings.Contains(out, "\n        smtpd_milters = inet:"+at+", inet:localhost:1\n") || !strings.HasSuffix(out, "one thing is wrong\n") {
		t.Errorf("status %d\n%s", status, out)
	}
	if err := os.WriteFile(filepath.Join(postfix, "main.cf"), []byte("mail_owner = nobody\nsmtpd_milters = inet:"+at+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, out := doctor("--postfix-config", postfix); status != exitOK || !strings.HasPrefix(out, "right:\n  Postfix: smtpd smtp (master.cf:1) asks milterkit on ") {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out := doctor("--postfix-config", dir); status != exitUsage || !strings.Contains(out, dir+"/main.cf") {
		t.Errorf("status %d\n%s", status, out)
	}
	good = configFile(t, dir, "stage_timeout = 1\n")
	if status, out := doctor("--postfix-config", postfix); status != exitConfig || !strings.Contains(out, ":5:17: ") {
		t.Errorf("status %d\n%s", status, out)
	}
}

// Those who write Authentication-Results, and those who go by them, agree on a name,
// also where it stands in the filters' own files.
func TestNamesThatDisagree(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(name, text string) {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set("opendkim.conf", "Mode v\nSocket local:/opendkim\nAuthservID a.example\n")
	for _, c := range []struct{ text, dmarc, line string }{
		{remotes("opendkim opendmarc"), "TrustedAuthservIDs b.example\n", "TrustedAuthservIDs b.example,a.example"},
		{remotes("opendkim opendmarc"), "AuthservID b.example\n", "TrustedAuthservIDs b.example,a.example"},
		{remotes("opendkim opendmarc"), "TrustedAuthservIDs b.example,A.example\n", ""},
		{remotes("opendkim dmarc=dmarc") + "[milter.options]\nauthserv_id = \"c.example\"\n", "", "AuthservID c.example"},
		{remotes("opendkim spf=spf") + "[milter.options]\nauthserv_id = \"c.example\"\n", "", "authserv_id = \"a.example\""},
		{remotes("spf=spf dkim=dkim-verify dmarc=dmarc"), "", ""},
	} {
		set("opendmarc.conf", c.dmarc)
		conf, err := config.Parse("f", []byte(c.text), builtinNatives(t).schemas())
		if err != nil {
			t.Fatal(err)
		}
		var r doctor.Report
		r.Authserv(root, conf, nil)
		if c.line == "" && len(r.Findings) > 0 || c.line != "" && (len(r.Findings) != 1 || r.Findings[0].Mend[0].Line != c.line) {
			t.Errorf("%s%s: %+v", c.text, c.dmarc, r.Findings)
		}
	}
}
