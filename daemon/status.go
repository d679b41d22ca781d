package daemon

import (
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/daemon/internal/listen"
)

// A statusServer tells over HTTP how the daemon is.
type statusServer struct {
	http  http.Server
	ln    *listen.Listener
	ready atomic.Bool
}

// statusPatience bounds each part of a request; nobody who asks for a word
// needs longer.
const statusPatience = 5 * time.Second

func newStatusServer(ln *listen.Listener, log *slog.Logger) *statusServer {
	s := &statusServer{ln: ln}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.ready.Load() {
			say(w, http.StatusOK, "ok")
			return
		}
		say(w, http.StatusServiceUnavailable, "not ready")
	})
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: statusPatience,
		ReadTimeout:       statusPatience,
		WriteTimeout:      statusPatience,
		IdleTimeout:       statusPatience,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(word + "\n"))
}

// serve answers until close.
func (s *statusServer) serve() error {
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *statusServer) close() error { return s.http.Close() }
