package test

import (
	"testing"

	"github.com/milterkit/sdk/test/stack"
)

// Two runs of the tests at once never give the same port to a daemon, however long
// that takes to listen.
func TestRunsHavePortsApart(t *testing.T) {
	given := make(map[int]bool)
	for range 3 {
		root, err := stack.NewRoot()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := root.Remove(); err != nil {
				t.Error(err)
			}
		})
		for range 700 { // more than it has to itself at first
			port, err := root.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			if given[port] {
				t.Fatalf("port %d was given out twice", port)
			}
			given[port] = true
		}
	}
}
