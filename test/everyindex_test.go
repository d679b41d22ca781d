package test

import (
	"fmt"
	"testing"

	"github.com/emersion/go-milter"
)

// TestEveryIndex has two milters edit a header at every index that it has, and at
// some that it has not.
func TestEveryIndex(t *testing.T) { play(t, "two", everyIndex()) }

func TestSendmailEveryIndex(t *testing.T) {
	t.Parallel()
	playOn(t, sendmailRoutes[:2], "two", everyIndex())
}

// everyIndex goes beyond the end: the header has 16 fields with the MTA's
// Received, and Sendmail counts eight more of its own.
func everyIndex() []scene {
	type m = *milter.Modifier
	const end = 27
	var scenes []scene
	for i := range end {
		name := []string{"X-One", "Subject", "X-Tab", "Message-ID"}[i%4]
		scenes = append(scenes,
			scene{
				name:  fmt.Sprintf("insert-at-%d", i),
				first: editing(func(m m) error { return m.InsertHeader(i, "X-First", "f") }),
				second: script{saw: true, edit: func(m m) error {
					return m.InsertHeader(end-i, "X-Second", "s")
				}},
				check: has("\nX-First: f\n", "\nX-Second: s\n", `X-First:"f"`),
			},
			scene{
				name: fmt.Sprintf("delete-insert-change-at-%d", i),
				first: editing(func(m m) error {
					return all(m.ChangeHeader(i/4%4, name, ""), m.InsertHeader(i, "X-First", "f"), m.AddHeader(name, "added"))
				}),
				second: script{saw: true, edit: func(m m) error {
					return all(m.ChangeHeader(i%5, "X-One", "changed"), m.InsertHeader(i+1, "X-Second", "s"), m.ChangeHeader(1, "X-First", "g"))
				}},
				check: has("\nX-First: g\n", "\nX-Second: s\n", `X-First:"f"`),
			})
	}
	return scenes
}
