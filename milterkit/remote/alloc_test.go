//go:build !race

package remote_test

import (
	"bytes"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// What a hook allocates does not grow with what it is shown. Most of it is the
// watch over its context.
func TestAllocsOfAHookAreFew(t *testing.T) {
	w := benchWalk(t)
	to := milterkit.NewAddress("<b@example.net>")
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	if n := testing.AllocsPerRun(100, func() { w.Rcpt(t.Context(), to) }); n > 14 {
		t.Errorf("rcpt: %v allocations", n)
	}
	w.Reset()
	w.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	for _, size := range []int{64, wire.MaxBody, 4 * wire.MaxBody} {
		piece := bytes.Repeat([]byte("x"), size)
		w.Body(t.Context(), piece)
		if n := testing.AllocsPerRun(100, func() { w.Body(t.Context(), piece) }); n > 11 {
			t.Errorf("%d bytes of the body: %v allocations", size, n)
		}
	}
}
