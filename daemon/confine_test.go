package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/confine"
)

// What milterkit needs to write to is what the configuration says, that of native
// children with it; with a child that does not say, nothing is known.
func TestWhatIsWrittenTo(t *testing.T) {
	all, err := newNatives(append(builtins(), reader))
	if err != nil {
		t.Fatal(err)
	}
	dir := publicDir(t)
	text := `listen = ["unix:/a/s", "inet:8890@127.0.0.1"]
status = ["unix:/b/s"]
journal = "/c/journal.db"
temp_dir = "/d"

[[milter]]
name = "grey"
use = "greylist"
[milter.options]
database = "/e/greylist.db"

[[milter]]
name = "far"
use = "greylist"
[milter.options]
redis = "redis://127.0.0.1:6379/0"

[[milter]]
name = "scan"
use = "clamd"

[[milter]]
name = "off"
use = "reader"
enabled = %t
[milter.options]
list = "/etc/list"
`
	c, err := all.load(configFile(t, dir, fmt.Sprintf(text, false)))
	if err != nil {
		t.Fatal(err)
	}
	list, known := all.needs(c)
	var got []string
	for _, n := range list {
		got = append(got, n.key+" "+n.folder)
	}
	slices.Sort(got)
	if want := []string{"grey /e", "journal /c", "listen /a", "status /b", "temp_dir /d"}; !known || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, known)
	}
	if c, err = all.load(configFile(t, dir, fmt.Sprintf(text, true))); err != nil {
		t.Fatal(err)
	}
	if _, known := all.needs(c); known {
		t.Error("what a child writes that does not say so is known")
	}
}

// A daemon that may not write to a folder any more does not take a configuration that
// wants it to, and says what does.
func TestAFolderThatIsNewTakesANewStart(t *testing.T) {
	dir := publicDir(t)
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	file := configFile(t, dir, "temp_dir = \"DIR/other\"\n")
	cmd := program("check", "--config", file)
	cmd.Env = append(cmd.Env, "MILTERKIT_WRITABLE=/run/milterkit\n"+dir+"/oth")
	out, err := cmd.CombinedOutput()
	if want := "temp_dir: since its start milterkit may write below /run/milterkit, " + dir + "/oth only, and not to " + other +
		": that takes a new start (systemctl restart milterkit)"; err == nil || !strings.Contains(string(out), file+":4:1: "+want) {
		t.Errorf("%v\n%s", err, out)
	}
	cmd = program("check", "--config", file)
	cmd.Env = append(cmd.Env, "MILTERKIT_WRITABLE=/run/milterkit\n"+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// serve confines itself, in all its threads, but for children that may write anywhere.
func TestServeConfinesItself(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	dir := publicDir(t)
	own := "\n[[milter]]\nname = \"own\"\nuse = \"reader\"\n[milter.options]\nlist = \"/dev/null\"\n"
	for text, want := range map[string]string{"": "1", own: "0"} {
		r := begin(t, program("serve", "--config", configFile(t, dir, text)))
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", r.Process.Pid))
		if err != nil || len(threads) < 2 {
			t.Fatalf("%v, %v", threads, err)
		}
		for _, status := range threads {
			if b, err := os.ReadFile(status); err == nil && !strings.Contains(string(b), "\nNoNewPrivs:\t"+want+"\n") {
				t.Errorf("%q: NoNewPrivs is not %s", text, want)
			}
		}
		r.stop(t)
	}
	if folders, confined := confine.Folders(); confined {
		t.Errorf("the test is confined to %v", folders)
	}
}
