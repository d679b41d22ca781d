package test

import (
	"bytes"
	"context"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/stack"
)

// recorder is a milter that keeps every byte it is sent. What it answers is as
// its script says.
type recorder struct {
	socket string
	filter miltertest.Filter

	mu       sync.Mutex
	script   miltertest.Script
	sessions []*recorded
	changed  chan struct{} // closed and made anew when a session ends
}

// recorded is what came on one connection.
type recorded struct {
	recorder *recorder
	bytes    []byte
	ended    bool
}

// startRecorder starts a recorder at a socket of that name.
func startRecorder(t *testing.T, root *stack.Root, name string, script miltertest.Script) *recorder {
	t.Helper()
	r := &recorder{socket: root.Path(name + ".sock"), script: script, changed: make(chan struct{})}
	r.filter.ScriptFor = func(int) miltertest.Script {
		r.mu.Lock()
		defer r.mu.Unlock()
		s := r.script
		s.Actions = wire.AllActions &^ wire.ActSetMacros // the same terms, whatever it plays
		return s
	}
	ln, err := net.Listen("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	// smtpd runs as the user postfix, milterkit as nobody.
	if err := os.Chmod(r.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	go r.filter.Serve(recordingListener{ln, r}) // until Close
	t.Cleanup(func() { ln.Close(); r.filter.Close() })
	return r
}

// play sets the script for the sessions from now on.
func (r *recorder) play(s miltertest.Script) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = s
}

// await waits until n sessions that have some text have ended, and no such one
// is open. It returns them in the order of their connections.
func (r *recorder) await(ctx context.Context, text string, n int) ([]*recorded, error) {
	for {
		r.mu.Lock()
		var found []*recorded
		open := 0
		for _, s := range r.sessions {
			if bytes.Contains(s.bytes, []byte(text)) {
				found = append(found, s)
				if !s.ended {
					open++
				}
			}
		}
		changed := r.changed
		r.mu.Unlock()
		if open == 0 && len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
}

// awaitProbe waits until milterkit has looked whether the milter is there: it has
// been told then which macros the milter would like to have.
func (r *recorder) awaitProbe(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deliveryLimit)
	defer cancel()
	if _, err := r.await(ctx, "", 1); err != nil {
		t.Fatal(err)
	}
}

// recordingListener has the recorder keep what comes on its connections.
type recordingListener struct {
	net.Listener
	r *recorder
}

// Accept implements [net.Listener].
func (l recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &recorded{recorder: l.r}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.sessions = append(l.r.sessions, s)
	return recordingConn{conn, s}, nil
}

type recordingConn struct {
	net.Conn
	session *recorded
}

// Read implements [net.Conn].
func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	r := c.session.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	c.session.bytes = append(c.session.bytes, p[:n]...)
	return n, err
}

// Close implements [net.Conn].
func (c recordingConn) Close() error {
	r := c.session.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	c.session.ended = true
	close(r.changed)
	r.changed = make(chan struct{})
	return c.Conn.Close()
}
