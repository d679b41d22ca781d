package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A password is shown nowhere: not in the configuration in effect, which can be loaded
// again all the same, and not in what is said of a wrong one.
func TestPasswordsAreNotShown(t *testing.T) {
	const text = `
[server]
user = "root"
[[milter]]
name = "grey"
use = "greylist"
[milter.options]
redis = "redis://default:hunter2@127.0.0.1:6379/0"
[[milter]]
name = "spam"
use = "rspamd"
[milter.options]
password = "hunter2"
`
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	shown := func(status int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if got := run("milterkit", nil, args, &out, &out); got != status || strings.Contains(out.String(), "hunter2") {
			t.Errorf("%s: status %d, want %d\n%s", args, got, status, &out)
		}
		return out.String()
	}
	file := write("right.toml", text)
	again := shown(0, "show-config", "--config", file)
	for _, want := range []string{`# redis          = "redis://(hidden)@127.0.0.1:6379/0" `, `# password       = "(hidden)" `} {
		if !strings.Contains(again, want) {
			t.Errorf("no %s in\n%s", want, again)
		}
	}
	shown(0, "show-config", "--json", "--config", file)
	shown(0, "show-config", "--config", write("again.toml", again))
	for from, to := range map[string]string{":6379": ":port", "redis://": "http://", `"hunter2"`: `"hunter2\n"`} {
		shown(78, "check", "--no-connect", "--config", write("wrong.toml", strings.Replace(text, from, to, 1)))
	}
}
