package gomilter_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// withoutLeaks runs the tests, and fails if they leave goroutines behind.
func withoutLeaks(m *testing.M) int {
	code := m.Run()
	var left string
	for wait := time.Millisecond; wait < 2*time.Second; wait *= 2 {
		if left = leftOver(); left == "" {
			return code
		}
		time.Sleep(wait)
	}
	fmt.Println("left over after all tests:", left)
	return 1
}

// leftOver returns a goroutine that is still there of the tests, or "".
func leftOver() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, g := range strings.Split(string(buf), "\n\n") {
		// The first one is the one that asks.
		if i > 0 && (strings.Contains(g, "milter") || strings.Contains(g, "context.")) {
			return g
		}
	}
	return ""
}
