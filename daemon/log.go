package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// newLogger returns the log of the daemon: "stderr" or "syslog". Both have one
// line for each record, as key=value ("text") or as an object ("json"); slog's text
// quotes what would break a line or forge one.
func newLogger(where, format string, stderr io.Writer) *slog.Logger {
	switch {
	case where == "syslog":
		out := &syslogOut{paths: syslogPaths, fallback: stderr}
		return slog.New(newLineHandler(format, out.send))
	case isJournal(stderr):
		// Source: sd-daemon(3), "log level prefixes".
		return slog.New(newLineHandler(format, func(severity int, line []byte) {
			fmt.Fprintf(stderr, "<%d>%s\n", severity, line)
		}))
	}
	return slog.New(newHandler(format, stderr))
}

// newHandler writes records as text or as JSON. There a time that something took is a
// number of seconds.
func newHandler(format string, w io.Writer) slog.Handler {
	if format != "json" {
		return slog.NewTextHandler(w, nil)
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.Float64Value(a.Value.Duration().Seconds())
		}
		return a
	}})
}

// isJournal reports whether what is written to w ends in systemd's journal.
// The variable alone does not say so: children of a unit inherit it, and may
// have had their stderr redirected. Source: systemd.exec(5), JOURNAL_STREAM.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// A lineHandler is a slog.Handler for logs that have a time and a severity of
// their own: it writes each record without the time.
type lineHandler struct {
	text slog.Handler // or JSON; writes to shared.line
	*shared
}

// shared is what the handlers that came of one another have in common.
type shared struct {
	mu   sync.Mutex
	line bytes.Buffer
	send func(severity int, line []byte)
}

func newLineHandler(format string, send func(severity int, line []byte)) slog.Handler {
	s := &shared{send: send}
	return lineHandler{newHandler(format, &s.line), s}
}

// Enabled implements slog.Handler.
func (h lineHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h lineHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Reset()
	r.Time = time.Time{} // slog leaves out the zero time
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	h.send(severity(r.Level), bytes.TrimSuffix(h.line.Bytes(), []byte("\n")))
	return nil
}

// WithAttrs implements slog.Handler.
func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineHandler{h.text.WithAttrs(attrs), h.shared}
}

// WithGroup implements slog.Handler.
func (h lineHandler) WithGroup(name string) slog.Handler {
	return lineHandler{h.text.WithGroup(name), h.shared}
}

// severity is a level in the numbers of syslog. Source: RFC 5424 section 6.2.1.
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
