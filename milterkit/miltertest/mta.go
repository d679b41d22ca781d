package miltertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// maxBuffered is how many bytes of commands that get no answer are gathered
// before they are written. More than this in flight could have the two ends
// wait for one another.
const maxBuffered = 64 << 10

// An MTA is the MTA's end of one milter connection. It behaves like Postfix
// unless its [Offer] says otherwise: commands that the filter does not want are
// not sent, commands that it does not answer are gathered and go out with the
// next that it does, a request for patience has it wait anew, and after a SKIP
// no more commands of that kind are sent until another one was.
//
// The first error ends the connection; every later call returns it again. An
// MTA is for one goroutine; only Close may be called from another.
type MTA struct {
	// Negotiated is the filter's answer to the offer.
	Negotiated wire.Negotiation

	offer  Offer
	conn   net.Conn
	frames *wire.Reader
	out    []byte          // frames not written yet
	skip   byte            // the command that the filter does not want more of; 0: none
	body   strings.Builder // the pieces of a new body
	early  []Edit          // quarantines asked for before the end of the message
	err    error           // why the connection cannot be used any more
	closed atomic.Bool
}

// Dial connects to a filter and negotiates with it. network is "unix" or "tcp".
func Dial(ctx context.Context, network, addr string, offer Offer) (*MTA, error) {
	d := net.Dialer{Timeout: offer.wait(wire.CmdNegotiate)}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the filter: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	m, err := New(conn, offer)
	if !stop() && err == nil {
		m.Close()
		return nil, ctx.Err()
	}
	return m, err
}

// New negotiates on a connection to a filter, which from here on belongs to the
// MTA. Where that fails the connection is closed.
func New(conn net.Conn, offer Offer) (*MTA, error) {
	m := &MTA{
		offer:  offer.full(),
		conn:   conn,
		frames: wire.NewReader(conn, make([]byte, 0, 16<<10)),
	}
	m.out = wire.Negotiation{Version: m.offer.Version, Actions: m.offer.Actions, Steps: m.offer.Steps}.Append(nil)
	if err := m.negotiate(); err != nil {
		return nil, m.fail(err)
	}
	return m, nil
}

func (m *MTA) negotiate() error {
	if err := m.flush(wire.CmdNegotiate); err != nil {
		return err
	}
	f, err := m.next(wire.CmdNegotiate)
	if err != nil {
		return err
	}
	if f.Code != wire.CmdNegotiate {
		return &wire.ProtocolError{Code: f.Code, Reason: "in answer to the negotiation"}
	}
	if m.Negotiated, err = wire.ParseNegotiation(f.Payload); err != nil {
		return err
	}
	return m.offer.check(m.Negotiated)
}

// Offer returns what was offered.
func (m *MTA) Offer() Offer { return m.offer }

// Wants reports whether the filter is to be shown a command: it did not opt out
// of it, its version has it, and it did not answer SKIP to the last one.
func (m *MTA) Wants(cmd byte) bool {
	return m.knows(cmd) && m.Negotiated.Steps&wire.NoStep(cmd) == 0 && (m.skip != cmd || m.skip == 0)
}

// knows reports whether the version that both ends speak has the command.
func (m *MTA) knows(cmd byte) bool {
	switch v := m.Negotiated.Version; cmd {
	case wire.CmdUnknown:
		return v >= 3
	case wire.CmdData:
		return v >= 4
	case wire.CmdQuitNew:
		return v >= 6
	}
	return true
}

// leading reports whether header values have their leading space.
func (m *MTA) leading() bool { return m.Negotiated.Steps&wire.LeadingSpace != 0 }

// fail ends the connection because of err, unless it has ended already.
func (m *MTA) fail(err error) error {
	if m.err == nil {
		if m.closed.Load() {
			err = net.ErrClosed
		}
		m.err = err
		m.conn.Close()
	}
	return m.err
}

// Close closes the connection without a word. It may be called from another
// goroutine, to end a wait.
func (m *MTA) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	return m.conn.Close()
}

// Flush writes the commands that have been gathered because nobody answers
// them.
func (m *MTA) Flush() error {
	if m.err != nil {
		return m.err
	}
	if err := m.flush(0); err != nil {
		return m.fail(err)
	}
	return nil
}

// Raw writes bytes as they are, behind what has been gathered. It is there to
// do what an MTA must not.
func (m *MTA) Raw(b []byte) error {
	if m.err != nil {
		return m.err
	}
	m.out = append(m.out, b...)
	return m.Flush()
}

// Receive waits for a frame, whatever it is. It is there to see what a filter
// sends after a [MTA.Raw]. The frame is a view until the next call.
func (m *MTA) Receive() (wire.Frame, error) {
	if m.err != nil {
		return wire.Frame{}, m.err
	}
	f, err := m.next(0)
	if err != nil {
		return f, m.fail(err)
	}
	return f, nil
}

// Quiet waits that long and returns an error if the filter says anything unasked
// in that time, or closes the connection.
func (m *MTA) Quiet(d time.Duration) error {
	if err := m.Flush(); err != nil {
		return err
	}
	m.conn.SetReadDeadline(time.Now().Add(d))
	f, err := m.frames.Next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		return m.fail(ended(err))
	}
	return m.fail(&wire.ProtocolError{Code: f.Code, Reason: "nobody asked for it"})
}

// flush writes what has been gathered.
func (m *MTA) flush(cmd byte) error {
	if len(m.out) == 0 {
		return nil
	}
	m.conn.SetWriteDeadline(time.Now().Add(m.offer.wait(cmd)))
	_, err := m.conn.Write(m.out)
	m.out = m.out[:0]
	if cap(m.out) > 4*maxBuffered {
		m.out = nil
	}
	if err != nil {
		return fmt.Errorf("cannot send to the filter: %w", err)
	}
	return nil
}

// next waits for the next frame.
func (m *MTA) next(cmd byte) (wire.Frame, error) {
	limit := m.offer.wait(cmd)
	m.conn.SetReadDeadline(time.Now().Add(limit))
	f, err := m.frames.Next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return f, fmt.Errorf("the filter does not answer within %v: %w", limit, err)
	case err != nil:
		return f, ended(err)
	}
	return f, nil
}

// ended makes the end of the stream an error that says who ended it.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the filter has closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return err
}
