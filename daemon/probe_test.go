package daemon

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// check tells whether those answer that native children ask, each by its address.
func TestCheckAsksWhatChildrenAsk(t *testing.T) {
	none := filepath.Join(publicDir(t), "none")
	for name, answer := range map[string]string{
		"clamd":  "PONG\x00",
		"spamd":  "SPAMD/1.5 0 PONG\r\n",
		"rspamd": "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npong\r\n",
	} {
		good := serveAnswers(t, []byte{answer[len(answer)-1]}, answer)
		other := serveAnswers(t, []byte{answer[len(answer)-1]}, "220 mx.example.org ESMTP\r\n")
		for _, c := range []struct{ addresses, want string }{
			{fmt.Sprintf("%q", good), name + " has answers from all that it asks\n"},
			{fmt.Sprintf("%q, %q", "unix:"+none, good), "warning: " + name + " has no answer: unix:" + none + ": "},
			{fmt.Sprintf("%q", other), "does not say "},
		} {
			status, stdout, stderr := checked(t, fmt.Sprintf("[[milter]]\nname = %q\nuse = %q\n[milter.options]\naddresses = [%s]\n", name, name, c.addresses))
			if status != exitOK || !strings.Contains(stdout, c.want) || stderr != "" {
				t.Errorf("%s: status %d, want %q in\n%s%s", c.addresses, status, c.want, stdout, stderr)
			}
		}
	}
}
