package clamd

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// A message leaves nothing open, be it handed over or sent. (No t.Parallel: it counts
// what the process has open. Nor is there a garbage collection, which would close
// what was forgotten.)
func TestNothingStaysOpen(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, network := range networks {
		for _, reply := range []string{"", "fd[7]: No file descriptor ERROR", "stream: OK"} {
			f := &fake{reply: func(string, string) string { return reply }}
			if reply == "" {
				f.reply = nil
			}
			f.start(t, network)
			before := opened(t)
			for range 10 {
				scan(t, newChild(t, options(f)), letter)
			}
			f.stop()
			if after := opened(t); after > before {
				t.Errorf("%s, %q: %d files were open, and %d are", network, reply, before, after)
			}
		}
	}
}

// opened is how many files of messages, and sockets, the process has.
func opened(t *testing.T) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		what, _ := os.Readlink(link)
		if strings.HasPrefix(what, "/memfd:message") || strings.HasPrefix(what, "socket:") {
			n++
		}
	}
	return n
}
