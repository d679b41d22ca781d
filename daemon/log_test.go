package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// hostile is what strangers put where it is logged.
var hostile = []string{
	"a\nlevel=ERROR msg=forged", "a\r\nb", "nul\x00nul", "\x1b[2Jesc", "\xff\xfe8-bit", `quo"te`, "a=b", "\u2028line", "\u202edir", "\u009b31m",
}

func TestNothingBreaksALogLine(t *testing.T) {
	for name, open := range map[string]func(io.Writer) *slog.Logger{
		"stderr": func(w io.Writer) *slog.Logger { return newLogger("stderr", "text", w) },
		"line": func(w io.Writer) *slog.Logger {
			return slog.New(newLineHandler("text", func(_ int, line []byte) { fmt.Fprintf(w, "%s\n", line) }))
		},
	} {
		for _, h := range hostile {
			var b bytes.Buffer
			log := open(&b)
			log.With(h, h).WithGroup(h).Info(h, "text", h, "error", errors.New(h), "bytes", []byte(h), h, h, "any", struct{ S string }{h})
			line, ended := strings.CutSuffix(b.String(), "\n")
			odd := func(r rune) bool {
				return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u202e'
			}
			if !ended || !utf8.ValidString(line) || strings.ContainsFunc(line, odd) {
				t.Errorf("%s: %q", name, b.String())
			}
		}
	}
}

// In JSON each record is an object of its own, whatever strangers have said, and a
// time that something took is a number of seconds.
func TestTheLogCanBeJSON(t *testing.T) {
	var lines [][]byte
	var stderr bytes.Buffer
	for _, log := range []*slog.Logger{newLogger("stderr", "json", &stderr),
		slog.New(newLineHandler("json", func(_ int, line []byte) { lines = append(lines, bytes.Clone(line)) }))} {
		for _, h := range hostile {
			log.Info("message", "helo", h, "took", 1500*time.Millisecond, slog.Group("milters", "a", h))
		}
	}
	lines = append(lines, bytes.Split(bytes.TrimSpace(stderr.Bytes()), []byte("\n"))...)
	for _, line := range lines {
		var got struct {
			Msg     string
			Took    float64
			Milters map[string]string
		}
		if err := json.Unmarshal(line, &got); err != nil || got.Msg != "message" || got.Took != 1.5 || got.Milters["a"] == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if len(lines) != 2*len(hostile) {
		t.Errorf("%d lines", len(lines))
	}
}

func TestALineHandlerKeepsAttributesAndGroups(t *testing.T) {
	var got string
	var gotSeverity int
	log := slog.New(newLineHandler("text", func(severity int, line []byte) { gotSeverity, got = severity, string(line) }))
	log.With("a", 1).WithGroup("g").Warn("hello", "b", 2)
	if want := "level=WARN msg=hello a=1 g.b=2"; got != want || gotSeverity != 4 {
		t.Errorf("%d %q, want %q", gotSeverity, got, want)
	}
	got = ""
	if log.Debug("x"); got != "" {
		t.Errorf("debug is logged: %q", got)
	}
	for level, want := range map[slog.Level]int{slog.LevelDebug: 7, slog.LevelInfo: 6, slog.LevelWarn: 4, slog.LevelError: 3, slog.LevelError + 4: 3} {
		if got := severity(level); got != want {
			t.Errorf("severity(%v) = %d", level, got)
		}
	}
}

func TestTheJournalIsToldTheSeverity(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv("JOURNAL_STREAM", "1:2") // another file
	newLogger("stderr", "text", f).Info("one")
	var st = statOf(t, f)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	newLogger("stderr", "text", f).Info("two")
	newLogger("stderr", "text", f).Error("three")
	b, err := os.ReadFile(f.Name())
	if want := regexp.MustCompile(`^time=\S+ level=INFO msg=one\n<6>level=INFO msg=two\n<3>level=ERROR msg=three\n$`); err != nil || !want.Match(b) {
		t.Errorf("%v\n%s", err, b)
	}
}

// fakeSyslog is a log of the system that a test reads.
func fakeSyslog(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	os.Remove(path)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func read(t *testing.T, conn net.Conn) string {
	t.Helper()
	b := make([]byte, 64<<10)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestSyslogIsToldAndFoundAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var fallback bytes.Buffer
	out := &syslogOut{paths: []string{path + "-not", path}, fallback: &fallback}
	log := slog.New(newLineHandler("text", out.send))

	log.Info("nobody listens")
	if got := fallback.String(); got != "level=INFO msg=\"nobody listens\"\n" {
		t.Errorf("stderr was told %q", got)
	}
	conn := fakeSyslog(t, path)
	out.after = time.Time{}
	log.Info("hello", "from", "<a@b>\n<0>x")
	want := regexp.MustCompile(`^<22>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d milterkit\[\d+\]: level=INFO msg=hello from="<a@b>\\n<0>x"$`)
	if got := read(t, conn); !want.MatchString(got) {
		t.Errorf("got %q", got)
	}
	conn.Close()
	conn = fakeSyslog(t, path) // the log was restarted
	log.Error("again")
	if got := read(t, conn); !strings.HasPrefix(got, "<19>") || !strings.HasSuffix(got, "msg=again") {
		t.Errorf("got %q", got)
	}
	log.Info(strings.Repeat("é", maxSyslogLine))
	if got := read(t, conn); len(got) > maxSyslogLine+100 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-9:])
	}
}

func TestASyslogOfStreamsIsToldInLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out := &syslogOut{paths: []string{path}, fallback: io.Discard}
	slog.New(newLineHandler("text", out.send)).Info("hello")
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := read(t, conn); !strings.HasSuffix(got, "msg=hello\n") {
		t.Errorf("got %q", got)
	}
}

// A log that takes nothing more costs a moment, not the mail.
func TestASyslogThatIsStuckIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	fakeSyslog(t, path) // which nobody reads
	var fallback bytes.Buffer
	out := &syslogOut{paths: []string{path}, fallback: &fallback}
	log := slog.New(newLineHandler("text", out.send))
	start := time.Now()
	for range 2000 {
		log.Info("hello")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if fallback.Len() == 0 {
		t.Error("stderr was told nothing")
	}
}
