package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// oldMilter is one that scores the messages of a session, on a socket.
func oldMilter(t *testing.T, points ...int) (*miltertest.Filter, *remote.Milter) {
	var answers []miltertest.Answer
	for i, n := range points {
		answers = append(answers, miltertest.Answer{Message: i + 1})
		if n > 0 {
			answers[i].Edits = []miltertest.Edit{miltertest.AddHeader("X-Spam-Level", strings.Repeat("*", n))}
		}
	}
	f := &miltertest.Filter{Script: miltertest.Script{On: map[byte][]miltertest.Answer{wire.CmdEOM: answers}}}
	addr, err := f.Start("unix", filepath.Join(t.TempDir(), "old.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	old := &remote.Milter{Label: "old", Network: "unix", Addr: addr}
	t.Cleanup(func() { old.Close() })
	return f, old
}

// What becomes of a message, by its score; and the old milter never sees one that is not its own.
func TestAnswers(t *testing.T) {
	f, old := oldMilter(t, 0, 5, 8, 15)
	miltertest.Run(t, "testdata/scores.txt", around(old)...)
	if saw := f.Saw(); slices.ContainsFunc(saw, func(s string) bool { return strings.Contains(s, "X-Spam-Level") }) {
		t.Errorf("the old milter saw a score: %q", saw)
	}
}

// The children keep to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Run("unscored", func(t *testing.T) { miltertest.TestChild(t, unscored) })
	t.Run("actOnScore", func(t *testing.T) { miltertest.TestChild(t, actOnScore) })
}
