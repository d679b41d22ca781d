package bench

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ThisMachine returns the machine at hand. What it does not tell is "unknown",
// or 0.
func ThisMachine() Machine {
	m := Machine{
		CPU:    fieldOf("/proc/cpuinfo", "model name"),
		Cores:  runtime.NumCPU(),
		Kernel: "unknown",
		Go:     runtime.Version(),
		Commit: commit(),
	}
	if m.CPU == "" { // as on ARM
		m.CPU = "unknown " + runtime.GOARCH
	}
	kib, _, _ := strings.Cut(fieldOf("/proc/meminfo", "MemTotal"), " ")
	n, _ := strconv.ParseInt(kib, 10, 64)
	m.Memory = n << 10
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// fieldOf returns the first "name: value" of a file of /proc, or "".
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// changes is what the name of a commit ends with where the tree is another.
const changes = "+changes"

// shortCommit is how much of a commit's name is told.
const shortCommit = 12

// commit returns the commit that this program was built from: as the compiler
// noted it, as the version of the module, or, for go test and go run, that of
// the tree at hand.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commitHere()
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), shortCommit)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = changes
		}
	}
	if revision != "" {
		return revision + changed
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return commitHere()
}

// commitHere asks git about the working directory, where that is in this
// project's tree.
func commitHere() string {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	if _, err := git("ls-files", "--error-unmatch", ":/bench/machine.go"); err != nil {
		return "unknown"
	}
	revision, err := git("rev-parse", "--short="+strconv.Itoa(shortCommit), "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := git("status", "--porcelain", "--untracked-files=no"); err != nil || changed != "" {
		revision += changes
	}
	return revision
}
