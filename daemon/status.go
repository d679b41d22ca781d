package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A statusServer tells over HTTP how the daemon is. It serves any number of
// addresses, all of them the same.
type statusServer struct {
	http  http.Server
	mux   *http.ServeMux
	ready atomic.Bool
	open  [2]atomic.Int64 // connections: of unix sockets, and of others
}

// maxAsking is how many connections there may be at one time of each kind: who has the
// port full does not keep those from asking who may use the socket. They are among
// ownDescriptors, so that they never take those of sessions.
const maxAsking = 20

// statusPatience bounds each part of a request; nobody who asks for a word
// needs longer.
const statusPatience = 5 * time.Second

// connKey is the key of the connection in the context of a request.
type connKey struct{}

func newStatusServer(log *slog.Logger) *statusServer {
	s := &statusServer{mux: http.NewServeMux()}
	s.http = http.Server{
		Handler:           s.mux,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:         s.bound,
		ReadHeaderTimeout: statusPatience,
		ReadTimeout:       statusPatience,
		WriteTimeout:      statusPatience,
		IdleTimeout:       statusPatience,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s.handle("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	s.handle("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.ready.Load() {
			say(w, http.StatusOK, "ok")
			return
		}
		say(w, http.StatusServiceUnavailable, "not ready")
	})
	return s
}

// bound ends a connection that is one too many.
func (s *statusServer) bound(c net.Conn, state http.ConnState) {
	open := &s.open[1]
	if c.LocalAddr().Network() == "unix" {
		open = &s.open[0]
	}
	switch state {
	case http.StateNew:
		if open.Add(1) > maxAsking {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		open.Add(-1)
	}
}

// handle adds what everybody who can connect may ask for. The pattern is one of
// http.ServeMux, such as "GET /metrics".
func (s *statusServer) handle(pattern string, h http.HandlerFunc) { s.mux.HandleFunc(pattern, h) }

// handleCommand adds what changes something, such as "POST /reload", or shows what is
// nobody else's business: it is taken from those only who may do that, and may take its
// time.
func (s *statusServer) handleCommand(pattern string, h http.HandlerFunc) {
	s.handle(pattern, func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		if err := mayCommand(conn, r); err != nil {
			say(w, http.StatusForbidden, err.Error())
			return
		}
		c := http.NewResponseController(w)
		if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
			say(w, http.StatusInternalServerError, err.Error())
			return
		}
		h(w, r)
	})
}

func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(word + "\n"))
}

// serve answers at one address until close, or until ln is closed.
func (s *statusServer) serve(ln net.Listener) error {
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *statusServer) close() error { return s.http.Close() }
