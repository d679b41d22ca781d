package bench

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// The processes of contestants are the program at hand once more: this one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], PartArgs) {
		if err := RunPart(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
