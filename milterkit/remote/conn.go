package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	output
}

// A link is what is known of one connection.
type link struct {
	nc    net.Conn
	began time.Time // when it was dialled
	limit *limit
	cut   func() // of the limit: ends reads and writes at once
	ear   *ear
	r     *wire.Reader
	desk  *desk
	terms

	due  []due // the replies that are still to come, in order
	owed int   // how many they are
	now  byte  // the command that is being answered
	skip byte  // the command of which it wants no more, until there was another one

	owned     uint16 // the stages at which it was sent macros of its own
	used      bool   // it was told of a message before
	inMessage bool   // it was told MAIL
	abort     bool   // it is to be told ABORT before anything else
	message
}

// due are replies to commands of one kind.
type due struct {
	cmd byte
	n   int
}

// message is what is known of the message under way.
type message struct {
	said  milterkit.Verdict // what the milter has said of it for good
	hold  *milterkit.Edit   // a quarantine that it asked for before the end
	begun bool              // it was shown some of the body
	ended bool              // it has said its last word
	lost  bool              // we do not know any more which reply is the next
}

// Bounds, in bytes and replies.
const (
	// maxNewBody bounds the body that a milter puts in place of a message's,
	// and maxEdits what it asks for besides; each edit counts editCost more
	// than its frame.
	maxNewBody = 64 << 20
	maxEdits   = 4 << 20
	editCost   = 128

	// So many commands may be under way before their replies are read: few
	// enough that neither end ever waits for the other to read. And so many
	// bytes are gathered before they are written.
	maxOwed = 64
	maxOut  = 256 << 10
)

// goodbyeTimeout bounds the wait for room for what nobody answers. It is shorter
// than what the dispatcher gives to a hook that was told to stop.
const goodbyeTimeout = 100 * time.Millisecond

// aLongTimeAgo is a deadline that ends reads and writes at once.
var aLongTimeAgo = time.Unix(1, 0)

var (
	// ErrClosed is the reason of a failure when the milter has closed the connection.
	ErrClosed = errors.New("it has closed the connection")

	// ErrUnasked is the reason of a failure when the milter has answered what it
	// was not asked.
	ErrUnasked = errors.New("it sends more answers than there were questions")

	errGone = errors.New("the connection to it was lost earlier in this message")
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
	c.sit()
	release := afterFunc(ctx, c.cut)
	v, err := talk()
	if !release() {
		err = fmt.Errorf("told to stop: %w", context.Cause(ctx))
	}
	if err != nil {
		if c.unsure() {
			err = c.disagreed(ctx, err)
		}
		c.hangUp()
		return milterkit.Fail(explain(err))
	}
	defer c.rise()
	return c.keep(cmd, v)
}

// afterFunc is context.AfterFunc. The ctx of a hook has a method of that name,
// which costs much less.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if h, ok := ctx.(interface {
		AfterFunc(func()) func() bool
	}); ok {
		return h.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
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
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// hangUp closes the connection without a word.
func (c *conn) hangUp() {
	if c.nc != nil {
		c.nc.Close()
	}
	c.clearDesk()
	c.link, c.output = link{}, output{}
}

// meet sees to it that there is a connection on which the milter knows the client.
// It reports whether it is a new one, or none because of an error; then v is what
// there is to say to connect.
func (c *conn) meet(ctx context.Context, s *milterkit.Session) (v milterkit.Verdict, fresh bool) {
	if c.usable() {
		return milterkit.Continue, false
	}
	own := c.ownOfSession(ctx, s, milterkit.StageConnect) // before the milter's time begins
	for ahead := !c.m.Lockstep; ; ahead = false {
		c.hangUp()
		if err := c.m.Down(); err != nil {
			return milterkit.Fail(err), true
		}
		if err := c.open(ctx, s.Actions, ahead); err != nil {
			c.notReached(ctx, err)
			c.hangUp()
			return milterkit.Fail(err), true
		}
		if v = c.tellConnect(ctx, s, own); !errors.Is(v.Err(), errOtherTerms) {
			return v, true
		}
	}
}

// notReached notes that the milter is down, if that is why there is no connection.
func (c *conn) notReached(ctx context.Context, err error) {
	if tellsOfDown(err) && (ctx.Err() == nil || time.Since(c.began) >= longWait) {
		c.m.goneDown(err)
	}
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
	return c.nc != nil && !c.lost && c.owed == 0 && c.r.Buffered() == 0 && c.quiet() == nil
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
		c.expect(cmd)
	}
	return true
}

// expect notes that a reply to a command is to come.
func (c *conn) expect(cmd byte) {
	c.owed++
	if last := len(c.due) - 1; last >= 0 && c.due[last].cmd == cmd {
		c.due[last].n++
		return
	}
	c.due = append(c.due, due{cmd, 1})
}

// settle notes that the next reply has come.
func (c *conn) settle() {
	c.owed--
	if c.due[0].n--; c.due[0].n == 0 {
		c.due = slices.Delete(c.due, 0, 1)
	}
}

// flush writes what has been appended. Where no answer is due, none may have come.
// Where some are due, a milter that has closed may have given its verdict before:
// that is read next, and then that it has gone.
func (c *conn) flush() error {
	if c.output.len() == 0 {
		return nil
	}
	if err := c.silent(); err != nil {
		return err
	}
	if err := c.writeTo(c.nc); err != nil && c.owed == 0 {
		return err
	}
	return nil
}

// silent returns an error where no answer is due and one has come all the same,
// or the milter has gone.
func (c *conn) silent() error {
	if c.owed > 0 {
		return nil
	}
	return c.quiet()
}

// quiet returns nil if the milter has left the connection open and said nothing on
// it. A connection in memory knows that itself.
func (l *link) quiet() error {
	memory, ok := l.nc.(interface{ Waiting() (bytes int, err error) })
	if !ok {
		return l.ear.quiet()
	}
	n, err := memory.Waiting()
	if n > 0 {
		return ErrUnasked
	}
	return err
}

// tell is flush for what nobody answers. What there is room for, nearly always
// all of it, is written at once: a deadline may be over before a busy machine
// comes to the write, and the milter would be hung up on without a word.
func (c *conn) tell() error {
	if err := c.silent(); err != nil {
		return err
	}
	n := c.ear.writeAtOnce(c.out)
	if c.out = c.out[:copy(c.out, c.out[n:])]; len(c.out) == 0 {
		return nil
	}
	c.nc.SetWriteDeadline(time.Now().Add(goodbyeTimeout))
	defer c.nc.SetWriteDeadline(time.Time{})
	return c.writeTo(c.nc)
}

// ask writes what there is, if it has an answer, and reads replies until the
// milter owes none. The first one that is not continue is the answer. What nobody
// answers is written with the next command that has an answer.
func (c *conn) ask(ctx context.Context) (milterkit.Verdict, error) {
	if c.owed == 0 && c.output.len() < maxOut {
		return milterkit.Continue, nil
	}
	if err := c.flush(); err != nil {
		return milterkit.Continue, err
	}
	return c.collect(ctx, 0)
}

// room is called between commands that need not wait for each other's answers.
// It keeps what is under way within bounds.
func (c *conn) room(ctx context.Context) (milterkit.Verdict, error) {
	left := maxOwed / 2
	switch {
	case c.m.Lockstep && c.owed > 0:
		left = 0
	case c.owed < maxOwed && c.output.len() < maxOut:
		return milterkit.Continue, nil
	}
	if err := c.flush(); err != nil {
		return milterkit.Continue, err
	}
	return c.collect(ctx, left)
}

// collect reads replies until the milter owes at most left more. Each that it has
// to wait for has the time for one, as from an MTA, however many hooks' commands
// are under way.
func (c *conn) collect(ctx context.Context, left int) (milterkit.Verdict, error) {
	for c.owed > left {
		c.now = c.due[0].cmd
		waits := c.r.Buffered() == 0
		f, err := c.r.Next()
		if err != nil {
			return milterkit.Continue, err
		}
		if waits {
			milterkit.Progress(ctx)
		}
		if c.unsure() {
			if err := c.agreed(f); err != nil {
				return milterkit.Continue, err
			}
			continue
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
		c.settle()
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
		return ErrUnasked
	}
	return nil
}

// reset tells the milter that the message is over. It is told after each
// message, as Postfix does: at once where that came to no end, and else with what
// it is told next, as Sendmail does not tell it at all then.
func (c *conn) reset() {
	if c.nc == nil || !c.inMessage {
		return
	}
	if c.lost || c.owed > 0 || len(c.pieces) > 0 { // or it was told half of something
		c.hangUp()
		return
	}
	over := c.ended
	c.used, c.inMessage, c.message, c.skip = true, false, message{}, 0
	if over {
		c.abort = true
	} else {
		c.out = wire.AppendFrame(c.out, wire.CmdAbort, nil)
		if c.tell() != nil {
			c.hangUp()
			return
		}
	}
	c.rise()
}

// close says goodbye.
func (c *conn) close() {
	if c.nc == nil {
		return
	}
	c.sit()
	c.out = wire.AppendFrame(c.out, wire.CmdQuit, nil)
	c.tell()
	c.hangUp()
}
