package spamd

import (
	"context"
	"io"
	"net"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/letter"
)

// parse is what symbols makes of an answer.
func parse(text string) (*result, error) {
	d := &saidDialer{text: text}
	return symbols(context.Background(), d, &d.answer, &letter.Letter{}, "")
}

// A saidDialer connects to a spamd that has already answered.
type saidDialer struct {
	text   string
	answer answer
}

func (d *saidDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return saidConn{said: said{strings.NewReader(d.text)}, answer: &d.answer}, nil
}

type said struct{ io.Reader }

func (said) CloseWrite() error { return nil }

type saidConn struct {
	net.Conn
	said   said
	answer *answer
}

func (c saidConn) Read(p []byte) (int, error)  { return c.answer.read(c.said, p) }
func (c saidConn) Write(p []byte) (int, error) { return len(p), nil }
func (c saidConn) Close() error                { return nil }
