package replay

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A Result is what became of one message.
type Result struct {
	Record   *record.Message
	Outcome  *miltertest.Outcome
	Facts    []Fact
	Stripped int                 // fields that were taken off before
	Before   *miltertest.Message // as it went past the milters
	Mail     miltertest.Mail
}

// Taken reports whether the message is delivered, to all of its recipients.
func (r *Result) Taken() bool { return r.Record.Outcome == "accept" && len(r.Outcome.Refused) == 0 }

// A Player takes messages past a chain of milters, one after another, each in a
// session of its own. Several have the milters in common.
type Player struct {
	Given Given
	Strip Strip

	server milterkit.Server // how the chain is served
	last   *record.Message  // of the session at hand
}

// NewPlayer returns a player for the chain that a server has, which itself is not
// used: whatever else it reports to is not told.
func NewPlayer(like *milterkit.Server, g Given, s Strip) (*Player, error) {
	d, err := milterkit.NewDispatcher(like.Dispatcher.Slots()...)
	if err != nil {
		return nil, err
	}
	p := &Player{Given: g, Strip: s}
	d.StageTimeout, d.MessageTimeout, d.MaxGivenUp = like.Dispatcher.StageTimeout, like.Dispatcher.MessageTimeout, like.Dispatcher.MaxGivenUp
	d.Logger = like.Logger
	d.OnReport = func(r *milterkit.Report) {
		if m := record.Of(r, time.Now()); p.last == nil || m.Sender != nil {
			p.last = m
		}
	}
	p.server.Dispatcher = d
	p.server.MaxMemory, p.server.TempDir, p.server.MaxHeader, p.server.Logger = like.MaxMemory, like.TempDir, like.MaxHeader, like.Logger
	return p, nil
}

// Play takes a message past the milters. An error says that it did not come to an
// end: ctx is done, or milterkit itself failed.
func (p *Player) Play(ctx context.Context, l *Letter) (*Result, error) {
	m := miltertest.ParseMessage(l.Text)
	cutFields(m)
	t := p.Given.transferOf(l, m)
	r := &Result{Facts: t.facts, Before: m, Mail: t.mail, Stripped: p.Strip.from(m)}
	var err error
	if r.Outcome, err = p.session(ctx, t); err != nil {
		return nil, err
	}
	r.Record = p.last
	p.complete(r, t)
	return r, nil
}

// maxField is how much of a field Postfix keeps. Source: header_size_limit in
// postconf(5).
const maxField = 102400

// cutFields has the fields of a header as Postfix hands them over: they end at a NUL,
// as C strings do, and the rest of a very long one is dropped.
// Source: milter8_header in Postfix's milter8.c.
func cutFields(m *miltertest.Message) {
	for i := range m.Fields {
		f := &m.Fields[i]
		f.Name = f.Name[:min(len(f.Name), maxField)]
		f.Value, _, _ = strings.Cut(f.Value[:min(len(f.Value), maxField)], "\x00")
	}
}

// session plays the session of one message. When it returns the milters have been
// told that it is over.
func (p *Player) session(ctx context.Context, t *transfer) (*miltertest.Outcome, error) {
	p.last = nil
	srv := &milterkit.Server{Dispatcher: p.server.Dispatcher, MaxMemory: p.server.MaxMemory,
		TempDir: p.server.TempDir, MaxHeader: p.server.MaxHeader, Logger: p.server.Logger}
	ours, theirs := miltertest.Pipe()
	ln := &oneConn{conn: theirs, closed: make(chan struct{})}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	defer served.Wait()
	defer srv.Close()
	defer context.AfterFunc(ctx, func() { ours.Close() })()

	mta, err := miltertest.New(ours, miltertest.Offer{})
	if err != nil {
		return nil, because(ctx, err)
	}
	defer mta.Close()
	player := &miltertest.Player{MTA: mta, Client: t.client}
	if _, err := player.Open(); err != nil {
		return nil, because(ctx, err)
	}
	o, err := player.Mail(t.mail)
	if err != nil {
		return nil, because(ctx, err)
	}
	player.Close() // what is decided stays so
	mta.Close()
	return o, because(ctx, srv.Shutdown(ctx))
}

// because returns why ctx is done, where that is the reason of an error.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// complete brings the record up to what the client was told: where all recipients were
// refused the message did not come to its end, and where all milters had accepted the
// session none heard of it.
func (p *Player) complete(r *Result, t *transfer) {
	o := r.Outcome
	if r.Record == nil {
		sender := strings.Trim(t.mail.From, "<>")
		r.Record = &record.Message{Time: time.Now(), Client: t.client.Host, Addr: t.client.Addr, Helo: t.client.Helo, Sender: &sender,
			QueueID: t.mail.QueueID, Outcome: "accept", Rcpts: len(o.Envelope.To)}
		for _, to := range o.Envelope.To[:min(len(o.Envelope.To), record.MaxRecipients)] {
			r.Record.To = append(r.Record.To, strings.Trim(to, "<>"))
		}
	}
	m := r.Record
	words := map[miltertest.Result]string{miltertest.Rejected: "reject", miltertest.TempFailed: "tempfail", miltertest.Discarded: "discard"}
	switch word, decided := words[o.Result], m.Outcome != "" && m.Outcome != "aborted"; {
	case o.Result == miltertest.Accepted && o.Held:
		m.Outcome = "quarantine"
	case o.Result == miltertest.Accepted:
		m.Outcome = "accept"
	case word != "":
		m.Outcome = word
	case !decided:
		m.Outcome = "tempfail" // hung up on
	}
	if len(o.Reply) > 3 && m.Reply == "" {
		m.Code, _ = strconv.Atoi(o.Reply[:3])
		m.Reply = o.Reply[4:]
	}
	if o.Result != miltertest.Accepted && m.By == "" {
		for _, s := range m.Steps {
			switch {
			case s.Code >= 400 && !m.IsShadow(s.Milter):
				m.By, m.At, m.Code, m.Reply = s.Milter, s.At, s.Code, s.Reply
			case s.Verdict == "fail" && s.At == "rcpt" && !m.IsShadow(s.Milter):
				m.By, m.At = s.Milter, s.At
			}
		}
	}
}

// oneConn is a listener for one connection in memory.
type oneConn struct {
	conn   net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept implements [net.Listener].
func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close implements [net.Listener].
func (l *oneConn) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// Addr implements [net.Listener].
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "replay", Net: "unix"} }
