package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// An outFolder is where messages are written as they would be delivered.
type outFolder struct {
	dir   string // "": nowhere
	count int
}

// write writes a message that is delivered, or held, with the ends of lines that it
// came with.
func (f *outFolder) write(t *replay.Turn) error {
	f.count++
	if f.dir == "" || t.Results[0].Outcome.Result != miltertest.Accepted {
		return nil
	}
	text := t.Results[0].Outcome.Message.Bytes()
	if line, _, _ := bytes.Cut(t.Letter.Text, []byte("\n")); !bytes.HasSuffix(line, []byte("\r")) {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	return os.WriteFile(filepath.Join(f.dir, outName(f.count, t.Letter.Name)), text, 0o600)
}

// outName is the name of message n: its number, and what it was called.
func outName(n int, name string) string {
	base := strings.Map(func(r rune) rune {
		if r == ':' || r == '/' || r < ' ' {
			return '-'
		}
		return r
	}, strings.TrimSuffix(filepath.Base(name), ".eml"))
	if len(base) > 150 {
		base = strings.ToValidUTF8(base[:150], "")
	}
	return fmt.Sprintf("%06d-%s.eml", n, base)
}
