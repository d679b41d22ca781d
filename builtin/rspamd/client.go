package rspamd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/letter"
	"github.com/milterkit/sdk/builtin/internal/peer"
	"github.com/milterkit/sdk/milterkit"
)

// Bounds of an answer, in bytes.
const (
	maxHead   = 64 << 10 // of HTTP's own lines
	maxAnswer = 4 << 20  // of the result, without a body that is given back
)

// maxValue bounds what is told of an address or a name.
const maxValue = 1000

// ask asks one rspamd about a message, within timeout if that is not zero. When it
// returns nothing reads the letter any more: that is why it speaks HTTP itself, and
// leaves that to no Transport, which may go on sending after it has an answer.
func ask(ctx context.Context, server peer.Addr, header http.Header, l *letter.Letter, timeout time.Duration) (*answer, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
		defer cancel()
	}
	conn, err := server.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	a, err := exchange(conn, server, header, l)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // the connection was closed for this
	}
	return a, err
}

// exchange sends the message and reads the answer.
func exchange(conn io.ReadWriter, server peer.Addr, header http.Header, l *letter.Letter) (*answer, error) {
	host := server.Addr
	if server.Network == "unix" {
		host = "localhost"
	}
	q, err := http.NewRequest(http.MethodPost, "http://"+host+"/checkv2", l.Reader())
	if err != nil {
		return nil, err
	}
	q.Header, q.ContentLength, q.Close = header, l.Size(), true
	sent := q.Write(conn)
	// A rspamd that does not want to read all of it may have said why.
	limit := &io.LimitedReader{R: conn, N: maxHead}
	r, err := http.ReadResponse(bufio.NewReader(limit), q)
	switch {
	case limit.N == 0:
		return nil, fmt.Errorf("not an answer in HTTP: its head is longer than %d bytes", maxHead)
	case sent != nil && (err != nil || r.StatusCode == http.StatusOK):
		return nil, fmt.Errorf("cannot send: %w", peer.Reason(sent))
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return nil, errors.New("the connection was closed without an answer")
	case err != nil:
		return nil, fmt.Errorf("not an answer in HTTP: %s", letter.Clean(peer.Reason(err).Error(), 200))
	}
	// The body is not closed: that would read it to its end, which may never come.
	limit.N = math.MaxInt64
	most := maxAnswer + 2*l.Size()
	text, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	switch {
	case int64(len(text)) > most:
		return nil, fmt.Errorf("the answer is longer than %d bytes", most)
	case r.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("refused with HTTP status %s: %s", letter.Clean(r.Status, 100), letter.Clean(string(text), 200))
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", peer.Reason(err))
	}
	offset := r.Header.Get("Message-Offset")
	if offset != "" && r.ContentLength < 0 && len(r.TransferEncoding) == 0 {
		return nil, errors.New("there is a new body, and no Content-Length: it might be half of one")
	}
	return split(text, offset)
}

// requestHeader is what rspamd is told of the message: what its own milter tells
// itself. Source: rspamd_milter_to_http and rspamd_milter_macro_http.
func requestHeader(m *milterkit.Message, password string) http.Header {
	h := make(http.Header)
	set := func(name, value string) {
		if value != "" {
			h.Add(name, letter.Clean(value, maxValue))
		}
	}
	if name := strings.ToLower(m.Host); name != "unknown" && !strings.HasPrefix(name, "[") {
		set("Hostname", m.Host)
	}
	set("Helo", m.Helo)
	if addr := m.Client().Addr(); addr.IsValid() {
		set("IP", addr.Unmap().WithZone("").String())
	}
	set("From", m.Sender.String())
	for _, to := range m.Recipients {
		set("Rcpt", to.String())
	}
	set("Queue-ID", m.QueueID())
	set("User", m.AuthUser())
	set("User-Agent", m.Macro("v"))
	set("TLS-Version", m.TLSVersion())
	set("TLS-Cipher", m.Macro("cipher"))
	set("TLS-Cert-Issuer", m.Macro("cert_issuer"))
	set("Mailer", m.Macro("rcpt_mailer"))
	set("MTA-Name", or(m.Daemon(), m.MTAName()))
	set("Password", password)
	set("Flags", "milter,body_block")
	if h["User-Agent"] == nil {
		h["User-Agent"] = nil // or net/http would say who it is
	}
	return h
}

// split takes an answer apart: the result, and the new body that may stand behind
// it.
func split(text []byte, offset string) (*answer, error) {
	var body []byte
	if offset != "" {
		var n int
		if _, err := fmt.Sscanf(offset, "%d", &n); err != nil || n < 0 || n > len(text) {
			return nil, fmt.Errorf("the new body is said to begin at %q, of %d bytes", letter.Clean(offset, 40), len(text))
		}
		text, body = text[:n], bytes.Clone(text[n:])
	}
	a, err := parse(text)
	if err != nil {
		return nil, err
	}
	a.body, a.newBody = body, offset != ""
	return a, nil
}
