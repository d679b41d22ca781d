package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/detect"
)

// withOpenDKIM is a configuration of what is found where the system starts OpenDKIM,
// whose settings are in a file with this text; "" stands for one that cannot be read.
func withOpenDKIM(t *testing.T, settings, more string) (*Config, error) {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"usr/lib/systemd/system/opendkim.service":                     "[Service]\nExecStart=/usr/sbin/opendkim\n",
		"etc/systemd/system/multi-user.target.wants/opendkim.service": "",
		"usr/sbin/opendkim":                    "",
		"etc/opendkim.conf":                    settings,
		"usr/lib/systemd/system/other.service": "[Service]\nExecStart=/usr/sbin/other\n",
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "etc/opendkim.conf" && settings == "" { // which root cannot read either
			if err := os.Mkdir(at, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := detect.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("f", []byte("[server]\ndetect = true\n"+more), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, c.AddDetected(found)
}

// A filter that the system starts is not left out because its settings cannot be read,
// unless the file has it.
func TestAFilterIsNotLeftOutBecauseAFileCannotBeRead(t *testing.T) {
	if c, err := withOpenDKIM(t, "Socket inet:8891@127.0.0.1\nMode sv\n", ""); err != nil || len(c.Enabled()) == 0 {
		t.Fatalf("%v, %d milters", err, len(c.Enabled()))
	}
	_, err := withOpenDKIM(t, "", "")
	if err == nil || !strings.HasPrefix(err.Error(), "f:2:1: detect: opendkim would be left out, which this system starts: /etc/opendkim.conf: skipped: ") {
		t.Errorf("got %v", err)
	}
	if _, err := withOpenDKIM(t, "", "[[milter]]\nname = \"opendkim\"\nsocket = \"/x\"\nenabled = false\n"); err != nil {
		t.Error(err)
	}
}

// What was found once is lost where it is not found any more and some file cannot be
// read; where all can, it was removed.
func TestWhatWasDetectedIsNotLost(t *testing.T) {
	old, err := withOpenDKIM(t, "Socket inet:8891@127.0.0.1\n", "")
	if err != nil {
		t.Fatal(err)
	}
	next, err := Parse("f", []byte("[server]\ndetect = true\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if lost := old.LostTo(next); len(lost) > 0 {
		t.Errorf("got %v", lost)
	}
	next.Unread = []string{"/etc/a: skipped: permission denied"}
	if lost := old.LostTo(next); len(lost) != 1 || !strings.HasPrefix(lost.Error(), "f:2:1: detect: this was found before, and is not now: opendkim") ||
		!strings.HasSuffix(lost.Error(), "not everything could be read: /etc/a: skipped: permission denied") {
		t.Errorf("got %v", lost)
	}
	if lost := old.LostTo(old); len(lost) > 0 {
		t.Errorf("got %v", lost)
	}
}
