package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A conn is a milter's part in one session: a connection, or none yet.
type conn struct {
	m      *Milter
	nc     net.Conn
	r      *wire.Reader
	answer wire.Negotiation
	lists  map[milterkit.Stage][]string // the macros it has asked for

	out  []byte // frames to be written
	owed int    // replies that are still to come

	inMessage bool // it was told MAIL
	lost      bool // we do not know any more which reply is the next
	skip      bool // it wants no more of the body
	begun     bool // it was shown some of the body
}

// Bounds, in bytes and replies.
const (
	readBuffer = 4 << 10

	// maxNewBody bounds the body that a milter puts in place of a message's.
	maxNewBody = 64 << 20

	// So many commands may be under way before their replies are read, and so
	// many bytes of them: few enough that neither end ever waits for the other
	// to read.
	maxOwed    = 64
	maxOut     = 32 << 10
	maxOwdBody = 4
)

// aLongTimeAgo is a deadline that ends reads and writes at once.
var aLongTimeAgo = time.Unix(1, 0)

// errLate says that the hook was told to stop.
var errLate = errors.New("told to stop")

// do runs one hook's conversation. When ctx is done it is cut off. After an
// error the connection is of no use any more.
func (c *conn) do(ctx context.Context, talk func() (milterkit.Verdict, error)) milterkit.Verdict {
	if c.nc == nil {
		return milterkit.Fail(net.ErrClosed)
	}
	nc := c.nc
	release := context.AfterFunc(ctx, func() { nc.SetDeadline(aLongTimeAgo) })
	v, err := talk()
	if !release() {
		err = errors.Join(errLate, err)
	}
	if err != nil {
		c.hangUp()
		return milterkit.Fail(err)
	}
	return v
}

// hangUp closes the connection without a word.
func (c *conn) hangUp() {
	if c.nc != nil {
		c.nc.Close()
	}
	*c = conn{m: c.m, out: c.out[:0]}
}

// ensure opens the connection, if there is none. It reports whether that is new.
func (c *conn) ensure(ctx context.Context, s *milterkit.Session) (fresh bool, err error) {
	if c.nc != nil && !c.lost && c.owed == 0 && c.r.Buffered() == 0 && alive(c.nc) {
		return false, nil
	}
	c.hangUp()
	if err := c.m.isDown(); err != nil {
		return false, err
	}
	nc, r, answer, err := c.m.open(ctx, s.Actions)
	if err != nil {
		if ctx.Err() == nil {
			c.m.goneDown(err)
		}
		return false, err
	}
	c.nc, c.r, c.answer, c.lists = nc, r, answer, macroLists(answer)
	return true, nil
}

// macros appends the macros of a stage, as they go before its command. They
// are sent for a command that is left out too: the milter may ask for them
// later. A milter that has asked for a list at that stage is sent what is on
// it, in its order and spelling; another one all that the MTA has sent.
func (c *conn) macros(cmd byte, s *milterkit.Session, at milterkit.Stage) {
	pairs := s.Macros(at)
	if names := c.lists[at]; len(names) > 0 {
		pairs = listed(names, pairs)
	}
	for range pairs {
		c.out = wire.AppendMacros(c.out, cmd, pairs)
		return
	}
}

// listed yields the pairs whose names are on a list.
func listed(names []string, pairs iter.Seq2[string, string]) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range names {
			for n, value := range pairs {
				if strings.Trim(n, "{}") != strings.Trim(name, "{}") {
					continue
				}
				if !yield(name, value) {
					return
				}
				break
			}
		}
	}
}

// wants reports whether the milter is to be sent a command, and notes the reply
// that it owes for it then.
func (c *conn) wants(cmd byte) bool {
	if step := wire.NoStep(cmd); step != 0 && c.answer.Steps&step != 0 {
		return false
	}
	if nr := wire.NoReply(cmd); nr == 0 || c.answer.Steps&nr == 0 {
		c.owed++
	}
	return true
}

// flush writes what has been appended, and body after it.
func (c *conn) flush(body net.Buffers) error {
	if len(c.out) == 0 && len(body) == 0 {
		return nil
	}
	bufs := append(net.Buffers{c.out}, body...)
	_, err := bufs.WriteTo(c.nc)
	c.out = c.out[:0]
	return err
}

// ask writes what has been appended and reads replies until the milter owes at
// most left more. The first one that is not continue is the answer.
func (c *conn) ask(ctx context.Context, left int) (milterkit.Verdict, error) {
	if err := c.flush(nil); err != nil {
		return milterkit.Continue, err
	}
	return c.collect(ctx, left)
}

// collect reads replies until the milter owes at most left more.
func (c *conn) collect(ctx context.Context, left int) (milterkit.Verdict, error) {
	for c.owed > left {
		f, err := c.r.Next()
		if err != nil {
			return milterkit.Continue, err
		}
		if f.Code == wire.RepProgress {
			milterkit.Progress(ctx)
			continue
		}
		v, err := c.verdict(f)
		if err != nil {
			return v, err
		}
		c.owed--
		if v.Kind() != milterkit.KindContinue {
			// Whether it answers what it was sent after that nobody knows.
			c.lost = c.owed > 0
			c.owed = 0
			return v, nil
		}
	}
	return milterkit.Continue, nil
}

// verdict returns what a final reply means.
func (c *conn) verdict(f wire.Frame) (milterkit.Verdict, error) {
	switch f.Code {
	case wire.RepContinue:
		return milterkit.Continue, nil
	case wire.RepSkip:
		c.skip = true
		return milterkit.Continue, nil
	case wire.RepAccept:
		return milterkit.Accept, nil
	case wire.RepReject:
		return milterkit.Reject(""), nil
	case wire.RepTempFail:
		return milterkit.TempFail(""), nil
	case wire.RepDiscard:
		return milterkit.Discard, nil
	case wire.RepShutdown:
		return milterkit.Reply(421, "4.7.0 Service not available, closing transmission channel"), nil
	case wire.RepReplyCode:
		text, err := wire.ParseReplyCode(f.Payload)
		if err != nil {
			return milterkit.Continue, err
		}
		return milterkit.ParseReply(string(unescape(text)))
	}
	return milterkit.Continue, &wire.ProtocolError{Code: f.Code, Reason: fmt.Sprintf("%s is no answer here", wire.RepName(f.Code))}
}

// unescape takes the text of a reply for what Postfix makes of it: a format
// string in which only "%%" has a meaning. Source: milter8_event.
func unescape(text []byte) []byte {
	if bytes.IndexByte(text, '%') < 0 {
		return text
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] == '%' {
			if i++; i == len(text) || text[i] != '%' {
				i--
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

// reset tells the milter that the message is over. It is told after each
// message, as Postfix does.
func (c *conn) reset() {
	inMessage := c.inMessage
	c.inMessage, c.skip, c.begun = false, false, false
	switch {
	case c.nc == nil || !inMessage:
	case c.lost || c.owed > 0:
		c.hangUp()
	default:
		c.nc.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.nc.Write(wire.AppendFrame(nil, wire.CmdAbort, nil)); err != nil {
			c.hangUp()
			return
		}
		c.nc.SetWriteDeadline(time.Time{})
	}
}

// close says goodbye.
func (c *conn) close() {
	if c.nc == nil {
		return
	}
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.nc.Write(wire.AppendFrame(nil, wire.CmdQuit, nil))
	c.hangUp()
}
