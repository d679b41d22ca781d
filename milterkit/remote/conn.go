package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A conn is a milter's part in one session: a connection, or none yet.
type conn struct {
	m *Milter

	// session is what the milter has said for good of the whole session. It is
	// not spoken with any more then.
	session milterkit.Verdict

	link
	out []byte // frames to be written
}

// A link is what is known of one connection.
type link struct {
	nc     net.Conn
	r      *wire.Reader
	small  []byte // the reader's buffer between messages
	answer wire.Negotiation
	lists  map[milterkit.Stage][]string // the macros it has asked for

	vec  net.Buffers // what is being written, of parts
	part [2][]byte

	owed int  // replies that are still to come
	now  byte // the command that is being answered
	skip byte // the command of which it wants no more, until there was another one

	used      bool // it was told of a message before
	inMessage bool // it was told MAIL
	message
}

// message is what is known of the message under way.
type message struct {
	said  milterkit.Verdict // what the milter has said of it for good
	hold  *milterkit.Edit   // a quarantine that it asked for before the end
	begun bool              // it was shown some of the body
	lost  bool              // we do not know any more which reply is the next
}

// Bounds, in bytes and replies.
const (
	// idleBuffer is what a connection may hold between messages, each way: a
	// session has as many connections as there are milters.
	idleBuffer = 1 << 10

	// maxNewBody bounds the body that a milter puts in place of a message's,
	// and maxEdits what it asks for besides; each edit counts editCost more
	// than its frame.
	maxNewBody = 64 << 20
	maxEdits   = 4 << 20
	editCost   = 128

	// So many commands may be under way before their replies are read, and so
	// many bytes of them: few enough that neither end ever waits for the other
	// to read.
	maxOwed     = 64
	maxOut      = 32 << 10
	maxOwedBody = 4
)

// goodbyeTimeout bounds the wait for room for what nobody answers. It is shorter
// than what the dispatcher gives to a hook that was told to stop.
const goodbyeTimeout = 100 * time.Millisecond

// aLongTimeAgo is a deadline that ends reads and writes at once.
var aLongTimeAgo = time.Unix(1, 0)

var (
	errGone    = errors.New("the connection to it was lost earlier in this message")
	errClosed  = errors.New("it has closed the connection")
	errUnasked = errors.New("it sends more answers than there were questions")
)

// do runs one hook's conversation, about cmd. When ctx is done it is cut off.
// After an error the connection is of no use any more.
func (c *conn) do(ctx context.Context, cmd byte, talk func() (milterkit.Verdict, error)) milterkit.Verdict {
	switch {
	case c.nc == nil:
		return milterkit.Fail(errGone)
	case c.said != milterkit.Continue:
		return c.saidAlready(cmd)
	case c.skip == cmd:
		// Source: skip_event_type in Postfix's milter8_event.
		return milterkit.Continue
	}
	c.now, c.skip = cmd, 0
	nc := c.nc
	release := context.AfterFunc(ctx, func() { nc.SetDeadline(aLongTimeAgo) })
	v, err := talk()
	if !release() {
		err = fmt.Errorf("told to stop: %w", context.Cause(ctx))
	}
	if err != nil {
		c.hangUp()
		return milterkit.Fail(explain(err))
	}
	return c.keep(cmd, v)
}

// keep remembers a verdict that holds for more than the command at hand: a
// milter that gave one does not answer what comes after it.
func (c *conn) keep(cmd byte, v milterkit.Verdict) milterkit.Verdict {
	refusal := v.Kind() == milterkit.KindReject || v.Kind() == milterkit.KindTempFail
	switch {
	case v == milterkit.Continue, refusal && (cmd == wire.CmdRcpt || cmd == wire.CmdUnknown):
		return v
	case c.inMessage:
		c.said = v
		return c.saidAlready(cmd)
	case v != milterkit.Discard && cmd != wire.CmdUnknown:
		c.session = v
		c.close()
	}
	return v
}

// saidAlready returns the verdict that the milter has given on the message. An
// accept waits for the end of the message if there is a quarantine to be asked
// for.
func (c *conn) saidAlready(cmd byte) milterkit.Verdict {
	if c.said == milterkit.Accept && c.hold != nil && cmd != wire.CmdEOM {
		return milterkit.Continue
	}
	return c.said
}

// explain says what an error of the connection means.
func explain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe) {
		return fmt.Errorf("%w: %w", errClosed, err)
	}
	return err
}

// hangUp closes the connection without a word.
func (c *conn) hangUp() {
	if c.nc != nil {
		c.nc.Close()
	}
	c.link = link{}
	c.shrink()
}

// shrink empties the frames to be written, and keeps no more than a little
// memory for the next ones.
func (c *conn) shrink() {
	c.out = c.out[:0]
	if cap(c.out) > idleBuffer {
		c.out = nil
	}
}

// ensure opens the connection, if there is none. It reports whether that is new.
func (c *conn) ensure(ctx context.Context, s *milterkit.Session) (fresh bool, err error) {
	if c.usable() {
		return false, nil
	}
	c.hangUp()
	if err := c.m.isDown(); err != nil {
		return false, err
	}
	began := time.Now()
	l, err := c.m.open(ctx, s.Actions)
	if err != nil {
		if tellsOfDown(err) && (ctx.Err() == nil || time.Since(began) >= longWait) {
			c.m.goneDown(err)
		}
		return false, err
	}
	c.link = l
	return true, nil
}

// tellsOfDown reports whether the reason why a connection could not be opened
// holds for other sessions too. (Nor does a hook that was told to stop tell
// anything of the milter, unless it has waited for long.)
func tellsOfDown(err error) bool {
	for _, other := range []error{errTerms, errBusy, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// usable reports whether the connection is there, and the milter silent on it.
func (c *conn) usable() bool {
	return c.nc != nil && !c.lost && c.owed == 0 && c.r.Buffered() == 0 && quiet(c.nc) == nil
}

// macros appends the macros of a stage, as they go before its command. They
// are sent for a command that is left out too: the milter may ask for them
// later. For one that its version does not have they are not. A milter that has
// asked for a list at that stage is sent what is on it, in its order and
// spelling; another one all that the MTA has sent.
func (c *conn) macros(cmd byte, s *milterkit.Session, at milterkit.Stage) {
	if cmd == wire.CmdData && c.answer.Version < 4 || cmd == wire.CmdUnknown && c.answer.Version < 3 {
		return
	}
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

// shown reports whether the milter is to be sent a command.
func (c *conn) shown(cmd byte) bool {
	return c.answer.Steps&wire.NoStep(cmd) == 0
}

// wants is shown, and notes the reply that the milter owes for the command.
func (c *conn) wants(cmd byte) bool {
	if !c.shown(cmd) {
		return false
	}
	if nr := wire.NoReply(cmd); nr == 0 || c.answer.Steps&nr == 0 {
		c.owed++
	}
	return true
}

// flush writes what has been appended, and after it body, whose frame begins
// there. Where no answer is due, none may have come.
func (c *conn) flush(body []byte) error {
	if len(c.out) == 0 {
		return nil
	}
	if err := c.silent(); err != nil {
		return err
	}
	c.part = [2][]byte{c.out, body}
	c.vec = c.part[:1]
	if len(body) > 0 {
		c.vec = c.part[:2]
	}
	_, err := c.vec.WriteTo(c.nc)
	c.out, c.part = c.out[:0], [2][]byte{}
	return err
}

// silent returns an error where no answer is due and one has come all the same,
// or the milter has gone.
func (c *conn) silent() error {
	if c.owed > 0 {
		return nil
	}
	return quiet(c.nc)
}

// tell is flush for what nobody answers. What there is room for, nearly always
// all of it, is written at once: a deadline may be over before a busy machine
// comes to the write, and the milter would be hung up on without a word.
func (c *conn) tell() error {
	if err := c.silent(); err != nil {
		return err
	}
	n := writeAtOnce(c.nc, c.out)
	if c.out = c.out[:copy(c.out, c.out[n:])]; len(c.out) == 0 {
		return nil
	}
	c.nc.SetWriteDeadline(time.Now().Add(goodbyeTimeout))
	defer c.nc.SetWriteDeadline(time.Time{})
	return c.flush(nil)
}

// ask reads replies until the milter owes none. The first one that is not
// continue is the answer. What nobody answers is written with the next command
// that has an answer.
func (c *conn) ask(ctx context.Context) (milterkit.Verdict, error) {
	if c.owed > 0 || len(c.out) >= maxOut {
		if err := c.flush(nil); err != nil {
			return milterkit.Continue, err
		}
	}
	return c.collect(ctx, 0)
}

// collect reads replies until the milter owes at most left more.
func (c *conn) collect(ctx context.Context, left int) (milterkit.Verdict, error) {
	for c.owed > left {
		f, err := c.r.Next()
		if err != nil {
			return milterkit.Continue, err
		}
		switch f.Code {
		case wire.RepProgress:
			if err := bare(f); err != nil {
				return milterkit.Continue, err
			}
			milterkit.Progress(ctx)
			continue
		case wire.RepQuarantine: // not final. Source: Postfix, milter8_event.
			e, _, err := c.edit(f, nil)
			if err != nil {
				return milterkit.Continue, err
			}
			c.hold = &e
			continue
		}
		v, err := c.verdict(f)
		if err != nil {
			return v, err
		}
		c.owed--
		if v != milterkit.Continue {
			// Whether it answers what it was sent after that nobody knows.
			c.lost = c.owed > 0
			return v, c.settled()
		}
	}
	return milterkit.Continue, c.settled()
}

// settled reports an answer too many: it would be taken for that to the next
// command, and all the answers after it too.
func (c *conn) settled() error {
	if c.owed == 0 && c.r.Buffered() > 0 {
		return errUnasked
	}
	return nil
}

// reset tells the milter that the message is over. It is told after each
// message, as Postfix does.
func (c *conn) reset() {
	switch {
	case c.nc == nil || !c.inMessage:
	case c.lost || c.owed > 0:
		c.hangUp()
	default:
		c.used, c.inMessage, c.message, c.skip = true, false, message{}, 0
		c.out = wire.AppendFrame(c.out, wire.CmdAbort, nil)
		if c.tell() != nil || !c.r.SetBuffer(c.small) {
			c.hangUp()
			return
		}
		c.shrink()
	}
}

// close says goodbye.
func (c *conn) close() {
	if c.nc == nil {
		return
	}
	c.out = wire.AppendFrame(c.out, wire.CmdQuit, nil)
	c.tell()
	c.hangUp()
}
