package remote_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if the tests leave goroutines or sockets behind.
func TestMain(m *testing.M) {
	sockets := openSockets()
	code := m.Run()
	var left string
	for wait := time.Millisecond; wait < 2*time.Second; wait *= 2 {
		if left = leftOver(sockets); left == "" {
			os.Exit(code)
		}
		time.Sleep(wait)
	}
	fmt.Println("left over after all tests:", left)
	os.Exit(1)
}

// leftOver returns what is still there of the tests, or "".
func leftOver(sockets int) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, g := range strings.Split(string(buf), "\n\n") {
		// The first one is the one that asks. Fuzzing and profiling have their own.
		if i > 0 && (strings.Contains(g, "milterkit") || strings.Contains(g, "context.")) {
			return g
		}
	}
	if n := openSockets(); n > sockets {
		return fmt.Sprintf("%d sockets more than before", n-sockets)
	}
	return ""
}

// openSockets returns how many sockets are open, where the system tells.
func openSockets() (n int) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
