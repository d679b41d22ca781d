package clamd

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/baruwa-enterprise/clamd"
)

// ask has the library's client scan what a reader has.
func ask(t *testing.T, ctx context.Context, f *fake, r io.Reader) ([]*clamd.Response, error) {
	t.Helper()
	c, err := clamd.NewClient(f.ln.Addr().Network(), f.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetCmdTimeout(soon)
	return c.ScanReader(ctx, r)
}

// lineFake answers the library, which ends commands with LF, with text.
func lineFake(t *testing.T, got *bytes.Buffer, text string) *fake {
	f := &fake{conn: func(_ *fake, conn net.Conn) {
		io.ReadFull(conn, make([]byte, len("nINSTREAM\n")))
		message, err := readStream(conn)
		if got != nil {
			got.WriteString(message)
		}
		if err == nil {
			io.WriteString(conn, text)
		}
		if text == "hang" {
			hang(conn)
		}
	}}
	return f.start(t, "tcp")
}

// These are the reasons for which the library's client does not scan. Where one of
// them is gone, think it over anew.
func TestWhatTheLibraryGetsWrong(t *testing.T) {
	t.Parallel()
	t.Run("the last piece", func(t *testing.T) {
		var got bytes.Buffer
		f := lineFake(t, &got, "stream: OK\n")
		r, err := ask(t, t.Context(), f, iotest.DataErrReader(strings.NewReader(infectedLetter)))
		f.stop()
		if err != nil || len(r) != 1 || r[0].Status != "OK" || strings.Contains(got.String(), virus) {
			t.Errorf("is sent: %v, %v", r, err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		if r, err := ask(t, t.Context(), lineFake(t, nil, ""), strings.NewReader(letter)); r != nil || err != nil {
			t.Errorf("is an error: %v, %v", r, err)
		}
	})
	t.Run("an error with a colon", func(t *testing.T) {
		r, err := ask(t, t.Context(), lineFake(t, nil, "stream: no memory ERROR\n"), strings.NewReader(letter))
		if err != nil || len(r) != 1 || r[0].Status != "ERROR" {
			t.Errorf("is an error: %v, %v", r, err)
		}
	})
	t.Run("a name with a colon", func(t *testing.T) {
		r, err := ask(t, t.Context(), lineFake(t, nil, "stream: "+virusTest+" FOUND\n"), strings.NewReader(letter))
		if err == nil || len(r) != 0 {
			t.Errorf("is a virus: %v, %v", r, err)
		}
	})
	t.Run("the end of ctx", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), soon/5)
		defer cancel()
		start := time.Now()
		_, err := ask(t, ctx, lineFake(t, nil, "hang"), strings.NewReader(letter))
		if d := time.Since(start); d < soon {
			t.Errorf("is heeded: %v after %s", err, d)
		}
	})
	t.Run("a clamd that starts later", func(t *testing.T) {
		if _, err := clamd.NewClient("unix", t.TempDir()+"/clamd.ctl"); err == nil {
			t.Error("can be waited for")
		}
	})
}
