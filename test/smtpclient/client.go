// Package smtpclient is an SMTP client for tests. It sends what it is told,
// one command at a time, and keeps every line of every reply as it came, so
// that two servers' ways with the same client can be compared.
package smtpclient

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// limit is how long a reply may take.
const limit = 2 * time.Minute

// Closed is the one line of the reply to a command that got none, because
// the server has closed the connection.
const Closed = "(connection closed)"

// Reply is an answer of the server.
type Reply struct {
	// Lines are its lines, without their ends.
	Lines []string
}

// Code is the reply code, such as "250"; "" when the server closed.
func (r Reply) Code() string {
	last := r.Lines[len(r.Lines)-1]
	if last == Closed || len(last) < 3 {
		return ""
	}
	return last[:3]
}

// OK reports whether the server did what it was asked.
func (r Reply) OK() bool { return strings.HasPrefix(r.Code(), "2") }

// String is the reply as it came, with its lines apart by "\n".
func (r Reply) String() string { return strings.Join(r.Lines, "\n") }

// Exchange is a command with its reply.
type Exchange struct {
	// Command is the line as it was sent, "" for the greeting, "." for the
	// end of the data.
	Command string
	Reply   Reply
}

// Client is a connection to an SMTP server.
type Client struct {
	// Exchanges are all commands with their replies, in order. It starts
	// with the greeting.
	Exchanges []Exchange

	conn net.Conn
	tcp  *net.TCPConn // below conn, which may be TLS
	r    *bufio.Reader
}

// Dial connects to a server and reads its greeting.
func Dial(addr string) (*Client, error) { return DialFrom("", addr) }

// DialFrom is Dial from an address of this machine, "" for any.
func DialFrom(local, addr string) (*Client, error) {
	dialer := net.Dialer{Timeout: limit}
	if local != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, tcp: conn.(*net.TCPConn), r: bufio.NewReader(conn)}
	c.record("", c.read())
	return c, nil
}

// Port is the port that the client has.
func (c *Client) Port() int { return c.tcp.LocalAddr().(*net.TCPAddr).Port }

// Close closes the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }

// Reset closes the connection as a client does that has crashed: the server is
// sent a TCP reset.
func (c *Client) Reset() error {
	c.tcp.SetLinger(0)
	return c.tcp.Close()
}

// StartTLS sends STARTTLS and, if the server is ready, goes on with TLS, with a
// certificate of the client's own. The server's is not looked at. A handshake
// that fails shows at the next command.
func (c *Client) StartTLS(own tls.Certificate) Reply {
	r := c.Cmd("STARTTLS")
	if !r.OK() {
		return r
	}
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}})
	c.conn, c.r = conn, bufio.NewReader(conn)
	return r
}

// Write sends text as it is, and waits for nothing.
func (c *Client) Write(text string) error {
	c.conn.SetDeadline(time.Now().Add(limit))
	_, err := c.conn.Write([]byte(text))
	return err
}

// Pipeline sends command lines at once, and reads the reply to each.
func (c *Client) Pipeline(lines ...string) {
	c.Write(strings.Join(lines, "\r\n") + "\r\n")
	for _, line := range lines {
		c.record(line, c.read())
	}
}

// Cmd sends a command line and reads the reply.
func (c *Client) Cmd(format string, args ...any) Reply {
	line := fmt.Sprintf(format, args...)
	return c.record(line, c.send([]byte(line+"\r\n")))
}

// Helo sends HELO.
func (c *Client) Helo(name string) Reply { return c.Cmd("HELO %s", name) }

// Ehlo sends EHLO.
func (c *Client) Ehlo(name string) Reply { return c.Cmd("EHLO %s", name) }

// Mail sends MAIL, with ESMTP parameters.
func (c *Client) Mail(from string, params ...string) Reply {
	return c.Cmd("%s", strings.Join(append([]string{"MAIL FROM:<" + from + ">"}, params...), " "))
}

// Rcpt sends RCPT, with ESMTP parameters.
func (c *Client) Rcpt(to string, params ...string) Reply {
	return c.Cmd("%s", strings.Join(append([]string{"RCPT TO:<" + to + ">"}, params...), " "))
}

// Rset sends RSET.
func (c *Client) Rset() Reply { return c.Cmd("RSET") }

// Quit sends QUIT.
func (c *Client) Quit() Reply { return c.Cmd("QUIT") }

// Data sends DATA and, if the server wants it, the message, whose lines end
// in CRLF. Dots at the start of a line are doubled. The reply is the last one
// that came.
func (c *Client) Data(message []byte) Reply {
	if r := c.Cmd("DATA"); r.Code() != "354" {
		return r
	}
	return c.Content(message)
}

// Content is the part of Data that comes after DATA.
func (c *Client) Content(message []byte) Reply {
	stuffed := bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(stuffed, []byte(".")) {
		stuffed = append([]byte("."), stuffed...)
	}
	if len(stuffed) > 0 && !bytes.HasSuffix(stuffed, []byte("\r\n")) {
		stuffed = append(stuffed, "\r\n"...)
	}
	return c.record(".", c.send(append(stuffed, ".\r\n"...)))
}

func (c *Client) record(command string, r Reply) Reply {
	c.Exchanges = append(c.Exchanges, Exchange{Command: command, Reply: r})
	return r
}

// send writes and reads the reply.
func (c *Client) send(b []byte) Reply {
	// A server that has closed may still have said why: read in any case.
	c.Write(string(b))
	return c.read()
}

func (c *Client) read() Reply {
	c.conn.SetReadDeadline(time.Now().Add(limit))
	var r Reply
	for {
		line, err := c.r.ReadString('\n')
		if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
			line = fmt.Sprintf("(no reply within %v)", limit)
		} else if err != nil {
			line = Closed
		}
		r.Lines = append(r.Lines, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
		if err != nil || len(line) < 4 || line[3] != '-' {
			return r
		}
	}
}
