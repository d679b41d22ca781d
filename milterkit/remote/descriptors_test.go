package remote_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A milter that cannot be dialled for want of a descriptor is not down, and its
// default action does not decide: no message goes past it.
func TestWantOfDescriptorsIsNotDown(t *testing.T) {
	r := newRig(t, miltertest.Script{})
	r.slot.DefaultAction = milterkit.DefaultAccept
	wanting := true
	r.child.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if wanting {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EMFILE}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	r.open()
	mail := func() milterkit.Verdict {
		r.walk.Connect(t.Context(), "mail.example.org", '4', "192.0.2.1", 25)
		return r.walk.Mail(t.Context(), milterkit.NewAddress("<a@example.org>"))
	}
	if v := mail(); !strings.HasPrefix(v.Text(), "451 4.3.2 ") {
		t.Errorf("MAIL without a descriptor: %v, want 451 4.3.2", v)
	}
	wanting = false
	if v := mail(); v != milterkit.Continue {
		t.Errorf("the next MAIL: %v, want it to go on", v)
	}
	if s := r.log.String(); strings.Contains(s, "milter is down") {
		t.Errorf("it was taken to be down:\n%s", s)
	}
}
