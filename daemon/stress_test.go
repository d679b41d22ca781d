package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Stress begins at three quarters of the smtpd that Postfix runs at one time.
func TestStressIsThreeQuartersOfPostfixsLimit(t *testing.T) {
	const master = "# service type  private unpriv  chroot  wakeup  maxproc command + args\n"
	for _, c := range []struct {
		name, master, main string
		want               int
		told               string
	}{
		{"default", "smtp inet n - y - - smtpd\n", "", 75, "by=\"default_process_limit of Postfix\""},
		{"main.cf", "smtp inet n - y - - smtpd\n", "myhostname = a\ndefault_process_limit = 50\n  \n#default_process_limit = 1\ndefault_process_limit=200\n", 150, "default_process_limit in "},
		{"master.cf", "#smtp inet n - y - 7 smtpd\nsmtp inet n - y - 10\n  smtpd\n  -o a=b\n", "default_process_limit = 50\n", 7, "maxproc of smtpd in "},
		{"behind postscreen", "smtp inet n - y - 1 postscreen\nsubmission inet n - y - 8 smtpd\nsmtpd pass - - y - 40 smtpd\n", "", 30, "of=40"},
		{"another port", "127.0.0.1:10025 inet n - y - 20 smtpd\nsmtp unix - - y - 3 smtp\n", "", 15, "of=20"},
		{"the first of others", "a:26 inet n - y - 20 smtpd\nb:27 inet n - y - 40 smtpd\n127.0.0.1:25 inet n - y - 4 smtpd\n", "", 3, "of=4"},
		{"one", "smtp inet n - y - 1 smtpd\n", "", 1, "of=1"},
		{"no limit", "smtp inet n - y - 0 smtpd\n", "", 0, "has no limit"},
		{"no limit at all", "smtp inet n - y - - smtpd\n", "default_process_limit = 0\n", 0, "has no limit"},
		{"nonsense", "smtp inet n - y - many smtpd\n", "", 0, `the maxproc of smtpd is \"many\", which is no number`},
		{"a variable", "smtp inet n - y - - smtpd\n", "default_process_limit = $mine\n", 0, `default_process_limit is \"$mine\", which is no number`},
		{"no smtpd", "smtp unix - - y - - smtp\n", "", 0, "master.cf has no smtpd"},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"master.cf": master + c.master, "main.cf": c.main} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		if got := stressFrom([]string{t.TempDir(), dir}, slog.New(slog.NewTextHandler(&log, nil)))(); got != c.want || !strings.Contains(log.String(), c.told) {
			t.Errorf("%s: %d, told %s", c.name, got, &log)
		}
	}
	var log bytes.Buffer
	if got := stressFrom([]string{t.TempDir(), t.TempDir()}, slog.New(slog.NewTextHandler(&log, nil)))(); got != 0 || !strings.Contains(log.String(), "never holds") {
		t.Errorf("without Postfix: %d, told %s", got, &log)
	}
}
