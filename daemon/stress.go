package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// postfixFolders are where Postfix has its configuration: on Linux, FreeBSD, with
// pkgsrc.
var postfixFolders = []string{"/etc/postfix", "/usr/local/etc/postfix", "/usr/pkg/etc/postfix"}

// defaultProcessLimit is Postfix's own. Source: DEF_PROC_LIMIT in mail_params.h.
const defaultProcessLimit = 100

// stressFrom returns a function that says from how many sessions on the condition
// stress holds: three quarters of what Postfix serves at one time, as milter-manager
// has it; 0: never, since that is not known, or has no bound. It looks once, when it
// is first asked, in the first of the folders that is there, and tells the log (nil:
// slog.Default()).
func stressFrom(folders []string, log *slog.Logger) func() int {
	return sync.OnceValue(func() int {
		if log == nil {
			log = slog.Default()
		}
		there := func(folder string) bool { _, err := os.Stat(filepath.Join(folder, "master.cf")); return err == nil }
		limit, where, err := processLimit(folders[max(0, slices.IndexFunc(folders, there))])
		if err == nil && limit == 0 {
			err = fmt.Errorf("%s has no limit", where)
		}
		if err != nil {
			log.Warn(`the condition stress never holds; write a number of your own, such as sessions >= 75`, "error", err)
			return 0
		}
		n := max(1, limit*3/4)
		log.Info("the condition stress is known", "from", fmt.Sprintf("%d sessions", n), "of", limit, "by", where)
		return n
	})
}

// processLimit returns how many smtpd Postfix runs at one time, 0 for any number, and
// which setting says so: the column maxproc of the service smtp in master.cf, of
// another smtpd where there is none; default_process_limit of main.cf where that is -.
func processLimit(folder string) (n int, where string, err error) {
	master := filepath.Join(folder, "master.cf")
	lines, err := logicalLines(master)
	if err != nil {
		return 0, "", err
	}
	var maxproc string
	for _, line := range lines {
		f := strings.Fields(line) // service type private unpriv chroot wakeup maxproc command
		if len(f) < 8 || f[7] != "smtpd" || f[1] != "inet" && f[1] != "pass" {
			continue
		}
		service := f[0][strings.LastIndexByte(f[0], ':')+1:]
		smtp := slices.Contains([]string{"smtp", "25", "smtpd"}, service) // smtpd is behind postscreen
		if maxproc == "" || smtp {
			maxproc = f[6]
		}
		if smtp {
			break
		}
	}
	switch maxproc {
	case "":
		return 0, "", fmt.Errorf("%s has no smtpd", master)
	case "-":
		return mainLimit(folder)
	}
	where = "maxproc of smtpd in " + master
	if n, err = strconv.Atoi(maxproc); err != nil || n < 0 {
		return 0, where, fmt.Errorf("%s: the maxproc of smtpd is %q, which is no number", master, maxproc)
	}
	return n, where, nil
}

// mainLimit is processLimit by default_process_limit.
func mainLimit(folder string) (n int, where string, err error) {
	main := filepath.Join(folder, "main.cf")
	lines, err := logicalLines(main)
	if err != nil {
		return 0, "", err
	}
	n, where = defaultProcessLimit, "default_process_limit of Postfix"
	for _, line := range lines { // the last one counts
		name, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(name) != "default_process_limit" {
			continue
		}
		where = "default_process_limit in " + main
		if n, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || n < 0 {
			return 0, where, fmt.Errorf("%s: default_process_limit is %q, which is no number", main, strings.TrimSpace(value))
		}
	}
	return n, where, nil
}

// logicalLines returns the lines of a file of Postfix's without comments; one that
// begins with a blank goes on with the one before. Source: postconf(5).
func logicalLines(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "", trimmed[0] == '#':
		case strings.ContainsRune(" \t", rune(line[0])) && len(lines) > 0:
			lines[len(lines)-1] += " " + trimmed
		default:
			lines = append(lines, trimmed)
		}
	}
	return lines, nil
}
