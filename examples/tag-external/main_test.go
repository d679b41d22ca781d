package main

import (
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// Whose mail is tagged, and how.
func TestAnswers(t *testing.T) {
	for _, script := range []string{"testdata/outside.txt", "testdata/inside.txt"} {
		miltertest.Run(t, script, milterkit.Slot{Child: tagExternal("[EXT]")})
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, func() milterkit.Child { return tagExternal("[EXT]") })
}
