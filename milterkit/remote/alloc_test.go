//go:build !race

package remote_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

func wantAllocs(t *testing.T, what string, most float64, do func()) {
	t.Helper()
	n := testing.AllocsPerRun(200, do)
	t.Logf("%s: %v allocations", what, n)
	if n > most {
		t.Errorf("%s: %v allocations, want %v at most", what, n, most)
	}
}

// From a frame of the MTA's to a frame of the filter's, and back, nothing is
// allocated, however long a piece of the body is.
func TestAllocsFromFrameToFrame(t *testing.T) {
	w := benchWalk(t)
	to := milterkit.NewAddress("<b@example.net>")
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	wantAllocs(t, "rcpt", 0, func() { w.Rcpt(t.Context(), to) })
	w.Reset()
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	w.Body(t.Context(), make([]byte, wire.MaxBody)) // from now on it is sent as it arrives
	for _, size := range []int{64, wire.MaxBody, 4 * wire.MaxBody} {
		piece := bytes.Repeat([]byte("x"), size)
		w.Body(t.Context(), piece)
		wantAllocs(t, fmt.Sprintf("%d bytes of the body", size), 0, func() { w.Body(t.Context(), piece) })
	}
}

// A whole message past a filter on a socket.
func TestAllocsOfAMessage(t *testing.T) {
	w := benchWalk(t)
	wantAllocs(t, "a message", 1, func() { benchMessage(t, w) })
}
