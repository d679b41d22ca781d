package main

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/milterkit/sdk/bench"
)

// TestMain has the parts of a contest: they are this program once more.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; slices.Equal(args, bench.PartArgs) || len(args) == 3 && args[0] == partArg {
		if err := dispatch(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
