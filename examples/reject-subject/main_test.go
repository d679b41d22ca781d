package main

import (
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// What clients are told.
func TestAnswers(t *testing.T) {
	miltertest.Run(t, "testdata/subject.txt", milterkit.Slot{Child: rejectSubject()})
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, rejectSubject)
}
