package daemon

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/imports"
)

const importTestdata = "internal/imports/testdata"

// All that is known to come of settings is a configuration that can be loaded, as it
// was written.
func TestImportedConfigurationsLoad(t *testing.T) {
	all, err := newNatives(builtins())
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(importTestdata, "*", "want.toml"))
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if _, err := all.load(file); err != nil {
			t.Error(err)
		}
	}
}

// The command prints the configuration, and on the other output what could not be
// imported, each with file and line; its status says whether there was such a thing.
func TestImportCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	clean := write("clamav-milter.conf", "ClamdSocket unix:/run/clamd.sock\nOnInfected Reject\n")
	odd := write("opendmarc.conf", "Socket inet:8893@localhost\nRejectFailures true\nHistoryFile /var/run/x.dat\n")
	unknown := write("hosts", "127.0.0.1 localhost\n")
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{clean}, exitOK, `infected  = "reject"`, ""},
		{[]string{clean, odd}, exitFault, `use  = "dmarc"`, odd + ":3: HistoryFile /var/run/x.dat: no reports are sent\n"},
		{[]string{"--remote", odd}, exitOK, `socket = "inet:8893@localhost"`, ""},
		{[]string{unknown}, exitUsage, "", "say --kind"},
		{[]string{"--kind", "clamd", clean}, exitUsage, "", "there are milter-manager, postfix, "},
		{[]string{filepath.Join(dir, "none")}, exitUsage, "", "no such file"},
		{nil, exitUsage, "", "import --help"},
	} {
		var out, errs bytes.Buffer
		status := run("milterkit", nil, append([]string{"import"}, c.args...), &out, &errs)
		stdout, stderr := out.String(), errs.String()
		if status != c.status || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("%q: status %d\n%s\n%s", c.args, status, stdout, stderr)
		}
	}
}

// Whatever settings say, what is written can be loaded.
func FuzzImportedConfigurationLoads(f *testing.F) {
	all, err := newNatives(builtins())
	if err != nil {
		f.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(importTestdata, "*", "*.*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if i := slices.Index(imports.Kinds, imports.KindOf(filepath.Base(file), string(text))); i >= 0 {
			f.Add(uint8(i), string(text), false)
		}
	}
	f.Add(uint8(slices.Index(imports.Kinds, imports.SpamAss)), "spamass-milter -m -r 15 -u '' -R '\xff' -C 1.2.3 -- -d a,b -p x", false)
	f.Add(uint8(slices.Index(imports.Kinds, imports.OpenDKIM)), "Domain -\nSelector _\nKeyFile key\nMode s\nAuthservID a b\nOversignHeaders :\n", false)
	f.Fuzz(func(t *testing.T, kind uint8, input string, remote bool) {
		k := imports.Kinds[int(kind)%len(imports.Kinds)]
		got := imports.Import([]imports.File{{Name: "f", Kind: k, Text: input}}, imports.Options{Remote: remote,
			ReadFile: func(string) ([]byte, error) { return nil, errors.New("none") }, Check: all.faultsOf})
		if faults := all.faultsOf(got.Text); len(faults) > 0 {
			t.Errorf("%v\n%s", faults, got.Text)
		}
	})
}

// A file that the settings name may be anything: what never ends is not read.
func TestImportReadsFilesOnly(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", "/"} {
		if _, err := readNamed(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, make([]byte, 2*imports.MaxSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readNamed(long); err != nil || len(text) != imports.MaxSize+1 { // one more than is taken
		t.Error(len(text), err)
	}
}
