package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The rpm has what the deb has, can be installed and removed, and its scripts do the
// same: there are user, folders and configuration, and a removal takes none of them.
func TestInstalledFromTheRPM(t *testing.T) {
	t.Parallel()
	file := packageFile(t, "rpm")
	m := newMachine(t)
	before := m.tree()
	rpm := func(args ...string) string {
		t.Helper()
		// The tree is Debian's, whose packages this database does not know.
		out, err := exec.Command("rpm", append([]string{"--root", m.root, "--nodeps"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("rpm %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if told := rpm("--install", file); len(linesOf(t, told)) != 2 {
		t.Error(told)
	}
	config := "/etc/milterkit/milterkit.toml"
	m.run("milterkit check; test $(stat -c %U:%G:%a " + config + ") = root:milterkit:640; test $(stat -c %U:%a /var/lib/milterkit) = milterkit:750")
	rpm("--upgrade", "--force", file)
	rpm("--erase", "milterkit")
	var left []string
	for name := range difference(before, m.tree()) {
		// The folders that all share are those of Red Hat's package filesystem.
		if strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/usr/share/") {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	if want := []string{"/etc/milterkit", config, "/var/lib/milterkit"}; !slices.Equal(left, want) {
		t.Errorf("the removal leaves %v, not %v", left, want)
	}
}

// Debian's own judge of packages has nothing to say, and both kinds have the same
// files, but for what each system has in a place of its own.
func TestPackagesAreWellMade(t *testing.T) {
	t.Parallel()
	deb := packageFile(t, "deb")
	if out, err := exec.Command("lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", deb).CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
	list := func(name string, args ...string) (files []string) {
		t.Helper()
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			file := strings.TrimPrefix(fields[len(fields)-1], ".")
			if strings.HasSuffix(file, "/") || strings.Contains(file, "lintian") || strings.HasSuffix(file, "/changelog.gz") || file == "/usr/share/doc/milterkit" {
				continue
			}
			files = append(files, strings.Replace(file, "vendor-completions", "site-functions", 1))
		}
		slices.Sort(files)
		return files
	}
	debs, rpms := list("dpkg-deb", "--contents", deb), list("rpm", "-qpl", packageFile(t, "rpm"))
	if !slices.Equal(debs, rpms) || len(debs) < 20 {
		t.Errorf("the deb has %v\nthe rpm %v", debs, rpms)
	}
}

// The manual pages are good ones, as mandoc has it.
func TestManualPagesAreWellMade(t *testing.T) {
	t.Parallel()
	pages := installed(t, "usr/share/man/man8/*.gz")
	if len(pages) < 15 {
		t.Errorf("there are %d pages", len(pages))
	}
	for _, page := range pages {
		if out, err := exec.Command("sh", "-c", `zcat "$1" | mandoc -Tlint -Wwarning`, "sh", page).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, out)
		}
	}
}

// What systemd says of how much the service may do, 0 (nothing) to 100: rspamd's unit
// has 92, milter-manager's 96. The figure stands in docs/install.md.
const exposure = "15"

// The unit is one that systemd understands, and keeps the service in.
func TestTheUnitKeepsTheServiceIn(t *testing.T) {
	t.Parallel()
	unit := installed(t, "usr/lib/systemd/system/milterkit.service")[0]
	if out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold="+exposure, unit).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if page, err := os.ReadFile("../../docs/install.md"); err != nil || !strings.Contains(string(page), "says "+exposure[:1]+"."+exposure[1:]+" (of 10") {
		t.Errorf("docs/install.md has another figure than %s: %v", exposure, err)
	}
	m := newMachine(t)
	m.run("dpkg -i " + m.give(packageFile(t, "deb")))
	if out, err := m.try("systemd-analyze verify --man=no /usr/lib/systemd/system/milterkit.service /usr/lib/systemd/system/milterkit.socket 2>&1"); err != nil || strings.Contains(out, "milterkit") {
		t.Errorf("%v\n%s", err, out)
	}
}

// installed returns files of the tree that the packages were made of.
func installed(t *testing.T, pattern string) []string {
	t.Helper()
	packageFile(t, "deb")
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "stage", "linux-"+runtime.GOARCH, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}

// The scripts are good ones for any shell, as shellcheck has it.
func TestScriptsAreWellMade(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("../../packaging/scripts/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	scripts = append(scripts, "../../packaging/build.sh")
	for _, s := range scripts {
		if fi, err := os.Stat(s); err != nil || fi.Mode()&0o111 == 0 {
			t.Errorf("%s: %v, cannot be run", s, err)
		}
	}
	if out, err := exec.Command("shellcheck", scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// The variables of rc.subr look unused.
	if out, err := exec.Command("shellcheck", "--shell=sh", "--exclude=SC1091,SC2034,SC2223", "../../packaging/freebsd/milterkit").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
