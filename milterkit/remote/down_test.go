package remote_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// obliging is the far end of a pipe that says continue to all.
func obliging() net.Conn {
	near, far := Pipe()
	go func() {
		defer far.Close()
		r := wire.NewReader(far, nil)
		for {
			f, err := r.Next()
			switch {
			case err != nil:
				return
			case f.Code == wire.CmdNegotiate:
				far.Write(wire.Negotiation{Version: 6}.Append(nil))
			case f.Code != wire.CmdAbort && f.Code != wire.CmdMacros:
				far.Write(Frame(wire.RepContinue, ""))
			}
		}
	}()
	return near
}

// switched is a Dial that works, fails at once, or takes no notice.
type switched struct {
	up, deaf atomic.Bool
	dials    atomic.Int32
}

func (s *switched) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.dials.Add(1)
	switch {
	case s.up.Load():
		return obliging(), nil
	case s.deaf.Load():
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errors.New("nobody is there")
}

func TestDownMilterFailsAtOnceAndIsLookedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s switched
		r := newChild(t, "unix", "/none")
		r.child.Dial = s.dial
		for range 5 {
			r.open()
			r.want("connect", r.connect(), milterkit.Continue)
			r.want("message", r.message(), tryAgain)
		}
		if n := s.dials.Load(); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
		r.wantLog("milter is down", "socket=unix:/none", "nobody is there", "the milter is down: nobody is there")
		if v := r.child.Hooks().Connect(t.Context(), &milterkit.Session{}); !errors.Is(v.Err(), remote.ErrDown) {
			t.Errorf("%v is not ErrDown", v)
		}
		time.Sleep(time.Minute)
		if n := s.dials.Load(); n < 5 || n > 12 {
			t.Errorf("it was looked for %d times in a minute", n)
		}
		s.up.Store(true)
		time.Sleep(11 * time.Second)
		r.wantLog("milter is back")
		r.greet()
		r.want("message", r.message(), milterkit.Continue)
		r.close()
		if n := strings.Count(r.log.String(), "milter is down\""); n != 1 {
			t.Errorf("that it is down is logged %d times", n)
		}
	})
}

// A milter that takes connections and does not negotiate costs the connect
// timeout once.
func TestDeafMilterIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newChild(t, "", "")
		r.child.Dial = func(context.Context, string, string) (net.Conn, error) {
			near, far := Pipe()
			go func() {
				b := make([]byte, 100)
				for {
					if _, err := far.Read(b); err != nil {
						return
					}
				}
			}()
			return near, nil
		}
		r.slot.CommandTimeout = time.Minute
		began := time.Now()
		r.open().connect()
		if d := time.Since(began); d != remote.DefaultConnectTimeout {
			t.Errorf("it took %v", d)
		}
		r.wantLog("no answer to the negotiation within 5s")
		r.want("message", r.message(), tryAgain)
		r.want("message", r.message(), tryAgain)
		if d := time.Since(began); d != remote.DefaultConnectTimeout {
			t.Errorf("it took %v", d)
		}
		r.close()
		r.child.Close()
	})
}

// The time that the hook has may be shorter than the connect timeout: that must
// not have each session wait anew.
func TestHookCutOffWhileDialingMakesItDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s switched
		s.deaf.Store(true)
		r := newChild(t, "", "")
		r.child.Dial, r.child.ConnectTimeout = s.dial, time.Hour
		r.open().connect()
		if n := s.dials.Load(); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
		r.want("message", r.message(), tryAgain)
		r.wantLog("milter is down")
		r.close()
		r.child.Close()
	})
}

func TestHookCutOffSoonDoesNotMakeItDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s switched
		s.deaf.Store(true)
		r := newChild(t, "", "")
		r.child.Dial = s.dial
		r.open()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r.walk.Connect(ctx, "mx", milterkit.FamilyUnknown, "", 0)
		s.up.Store(true)
		r.open()
		r.connect()
		r.want("message", r.message(), milterkit.Continue)
		r.close()
	})
}

func TestCloseEndsTheSearchAndWaitsForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s switched
		r := newChild(t, "", "")
		r.child.Dial = s.dial
		r.open().connect()
		s.deaf.Store(true)
		time.Sleep(time.Second) // now it is in the midst of a dial
		began := time.Now()
		r.child.Close()
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		n := s.dials.Load()
		time.Sleep(time.Hour)
		if s.dials.Load() != n {
			t.Error("it is still looked for")
		}
		// Who fails to reach it after that starts no search.
		s.deaf.Store(false)
		other := newChild(t, "", "")
		other.child.Dial = s.dial
		other.child.Close()
		other.open().connect()
		time.Sleep(time.Hour)
		other.want("message", other.message(), tryAgain)
		other.close()
		r.close()
	})
}

func TestSocketThatIsNotThere(t *testing.T) {
	t.Parallel()
	r := newChild(t, "unix", filepath.Join(temp(t), "none"))
	r.open().connect()
	r.want("message", r.message(), tryAgain)
	r.wantLog("no such file or directory")
	if err := r.child.Probe(t.Context()); err == nil {
		t.Error("there is something")
	}
}

// Sessions whose connection is open are not touched by another's failure.
func TestOpenConnectionsOutliveASessionThatFindsItDown(t *testing.T) {
	t.Parallel()
	var s switched
	s.up.Store(true)
	r := newChild(t, "", "")
	r.child.Dial = s.dial
	r.greet()
	s.up.Store(false)
	other := newChild(t, "", "")
	other.slot.Child = r.child
	other.open().connect()
	other.want("message", other.message(), tryAgain)
	r.want("message", r.message(), milterkit.Continue)
}
