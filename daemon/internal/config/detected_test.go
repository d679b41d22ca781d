package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/detect"
)

// Each configuration that detection writes can be loaded.
func TestDetectedConfigurationsLoad(t *testing.T) {
	golden, err := filepath.Glob("../detect/testdata/*.golden")
	if err != nil || len(golden) == 0 {
		t.Fatal(golden, err)
	}
	for _, file := range golden {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, file1, ok := strings.Cut(string(text), "# Made by")
		if !ok {
			t.Fatalf("%s has no configuration", file)
		}
		if c, err := Parse(file, []byte("#"+file1), nil); err != nil || len(c.Milters) == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Whatever a unit and a script say, the configuration that is made of them can be
// loaded.
func FuzzDetected(f *testing.F) {
	f.Add("a-milter@b", "[Service]\nExecStart=/bin/a -p unix:/run/%i.sock\n", "SOCKET=inet:1@[::1]\n")
	f.Add("opendkim", "[Service]\nExecStart=/bin/a -p local:/a -k x\n", "name=a\nrcvar=b\nb=yes\ncommand_args='-p /x'\nrun_rc_command")
	f.Add("milter-x", "[Socket]\nListenStream=1", "for a in b; do c; done; /usr/bin/x-milter -s 'inet:2@a b' \"$1\"")
	f.Fuzz(func(t *testing.T, name, unit, script string) {
		if len(name) > 100 || strings.ContainsAny(name, "/\x00") || strings.Trim(name, ".") == "" {
			return
		}
		root := t.TempDir()
		for at, text := range map[string]string{
			"etc/systemd/system/" + name + ".service":                  unit,
			"etc/systemd/system/a-milter@.service":                     unit,
			"etc/systemd/system/x.wants/a-milter@" + name + ".service": "",
			"etc/init.d/milter-" + name:                                script,
			"usr/local/etc/rc.d/milter-" + name:                        script,
			"etc/rc.conf":                                              script,
			"etc/opendkim.conf":                                        "Socket " + script,
		} {
			at = filepath.Join(root, at)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		found, err := detect.Find(root)
		if err != nil {
			t.Fatal(err)
		}
		text := found.TOML()
		c, err := Parse("f", text, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		c.AddDetected(found)
		if _, err := Parse("g", c.TOML(), nil); err != nil {
			t.Fatalf("%v\n%s", err, c.TOML())
		}
	})
}

// What was found comes behind the milters of the file, says where it is from, and
// takes the place of none of them.
func TestAddDetected(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"usr/lib/systemd/system/a-milter.service":                           "[Service]\nExecStart=/bin/a -p unix:/run/a.sock\n",
		"usr/lib/systemd/system/b-milter.service":                           "[Service]\nExecStart=/bin/b -p unix:/run/b.sock\n",
		"usr/lib/systemd/system/c-milter.service":                           "[Service]\nExecStart=/bin/c -p unix:/run/c.sock\n",
		"usr/lib/systemd/system/us-milter.service":                          "[Service]\nExecStart=/bin/us -p unix:/run/us.sock\n",
		"usr/lib/systemd/system/torn-milter.service":                        "[Service\n",
		"usr/lib/systemd/system/spamass-milter.service":                     "[Service]\nExecStart=/bin/s -p unix:/run/s.sock\n",
		"etc/systemd/system/multi-user.target.wants/spamass-milter.service": "",
		"bin/s": "",
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := detect.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("f", []byte(`
[server]
detect = true
listen = ["unix:/run/us.sock"]
[[milter]]
name = "a-milter"
socket = "inet:1@127.0.0.1"
[[milter]]
name = "another-name"
socket = "unix:/run/b.sock"
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.AddDetected(found)
	const want = `
[[milter]]
name             = "spamass-milter"            # /usr/lib/systemd/system/spamass-milter.service
socket           = "unix:/run/s.sock"          # /usr/lib/systemd/system/spamass-milter.service:2
when             = "!authenticated && !local"  # detect
connect_timeout  = "5s"                        # default
command_timeout  = "30s"                       # default
content_timeout  = "4m"                        # default
default_action   = "accept"                    # detect
pipeline         = true                        # default
together         = false                       # default
shadow           = false                       # default
sendmail_macros  = false                       # default
enabled          = true                        # default

[[milter]]
name             = "c-milter"          # /usr/lib/systemd/system/c-milter.service
socket           = "unix:/run/c.sock"  # /usr/lib/systemd/system/c-milter.service:2
when             = ""                  # default
connect_timeout  = "5s"                # default
command_timeout  = "30s"               # default
content_timeout  = "4m"                # default
default_action   = "tempfail"          # default
pipeline         = true                # default
together         = false               # default
shadow           = false               # default
sendmail_macros  = false               # default
enabled          = false               # detect
`
	shown := string(c.TOML())
	if !strings.HasSuffix(shown, want) {
		t.Errorf("got\n%s\nwant at its end\n%s", shown, want)
	}
	notes := strings.Join(c.Notes, "\n")
	if want := `detect: us-milter is left out: milterkit itself listens on unix:/run/us.sock
detect: /usr/lib/systemd/system/torn-milter.service:1: skipped, and with it the whole file: a section has no ] at its end`; notes != want {
		t.Errorf("got  %s\nwant %s", notes, want)
	}
	again, err := Parse("g", []byte(shown), nil)
	if err != nil {
		t.Fatal(err)
	}
	before := len(again.Milters)
	if again.AddDetected(found); len(again.Milters) != before {
		t.Errorf("what show-config prints has %d milters, and with detect %d", before, len(again.Milters))
	}
}
