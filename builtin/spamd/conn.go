package spamd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"

	"github.com/milterkit/sdk/builtin/internal/peer"
)

// maxAnswer bounds the answer of spamd, in bytes: room for some 800 tests. The
// library itself reads as long as something comes.
const maxAnswer = 16 << 10

// A dialer connects to one spamd, for one question. The library would dial TCP
// only, and knows of no ctx once the connection stands: this one is closed when ctx
// is done.
type dialer struct {
	server peer.Addr
	answer answer
	conn   net.Conn
	stop   func() bool
}

// DialContext is what the library calls.
func (d *dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := d.server.Dial(ctx)
	if err != nil {
		return nil, err
	}
	d.conn = conn
	d.stop = context.AfterFunc(ctx, func() { conn.Close() })
	switch c := conn.(type) {
	case *net.TCPConn:
		return tcpConn{c, &d.answer}, nil
	case *net.UnixConn:
		return unixConn{c, &d.answer}, nil
	}
	return nil, fmt.Errorf("a %T is not a connection to spamd", conn)
}

// close closes the connection, should the library have left it open.
func (d *dialer) close() {
	if d.conn != nil {
		d.stop()
		d.conn.Close()
	}
}

// tcpConn and unixConn are connections whose answer is read by an answer. They
// are no wrappers of a net.Conn, so that the body is written without a copy.
type (
	tcpConn struct {
		*net.TCPConn
		answer *answer
	}
	unixConn struct {
		*net.UnixConn
		answer *answer
	}
)

func (c tcpConn) Read(p []byte) (int, error)  { return c.answer.read(c.TCPConn, p) }
func (c unixConn) Read(p []byte) (int, error) { return c.answer.read(c.UnixConn, p) }

// An answer is all that a spamd has said.
type answer struct {
	text   []byte
	unread *bytes.Reader
	err    error
}

// A stream is a connection that can be closed for writing.
type stream interface {
	io.Reader
	CloseWrite() error
}

// read is Read: the first one tells spamd that there is no more to come, and reads
// the answer up to its end.
func (a *answer) read(conn stream, p []byte) (int, error) {
	if a.unread == nil {
		a.text, a.err = readAll(conn)
		a.unread = bytes.NewReader(a.text)
	}
	if a.err != nil {
		return 0, a.err
	}
	return a.unread.Read(p)
}

func readAll(conn stream) ([]byte, error) {
	if err := conn.CloseWrite(); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", peer.Reason(err))
	case len(text) == 0:
		return nil, errors.New("the connection was closed without an answer")
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("not an answer of spamd's: it is longer than %d bytes", maxAnswer)
	}
	return text, nil
}

// whole looks whether the answer has the length that it says it has: the library
// takes what comes, and the end of the connection for the end of the answer. It
// takes the first of two scores, too.
func (a *answer) whole() error {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(a.text)))
	if _, err := r.ReadLine(); err != nil {
		return errCutOff
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return errCutOff
	}
	if len(header["Spam"]) != 1 || len(header["Content-Length"]) != 1 {
		return errors.New("not an answer of spamd's: it has not one score and one length")
	}
	body, _ := io.ReadAll(r.R)
	length, err := strconv.Atoi(header["Content-Length"][0])
	switch {
	case err != nil || length < 0:
		return errors.New("not an answer of spamd's: its length is not a number")
	case length > len(body):
		return errCutOff
	case length < len(body):
		return errors.New("not an answer of spamd's: it is longer than it says")
	}
	return nil
}

var errCutOff = errors.New("the answer is cut off")
