package main

import (
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// What is held, and for what reason.
func TestAnswers(t *testing.T) {
	miltertest.Run(t, "testdata/parts.txt", milterkit.Slot{Child: quarantineAttachments()})
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, quarantineAttachments)
}
