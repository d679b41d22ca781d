// Package remote makes a child of a milter that runs elsewhere, on a socket.
//
// The milter is offered version 6 of the protocol with all its steps, whatever
// the MTA speaks, and only the actions that the MTA can do. What it answers is
// adapted: the stages it does not want, the replies it promises not to give
// (also where they were not offered, as rspamd does), leading space, skip, and
// older versions.
//
// Each session has a connection of its own, opened when the milter is first to
// be told something. It is never used for another session: most milters take no
// QUIT_NC. A connection that broke is opened anew for the next message of the
// session, and the milter told what happened so far. A milter that cannot be
// reached is looked for in the background, and costs sessions nothing meanwhile.
//
// The package uses the public hooks of milterkit only.
package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A Milter is an existing milter as a child. Its fields must not change once it
// is in use.
type Milter struct {
	Label   string // its Name; empty: the address
	Network string // "unix" or "tcp"
	Addr    string // a path, or "host:port"

	// ConnectTimeout bounds dialling and negotiation together. Zero:
	// DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// Dial opens a connection. Nil: net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger is told when the milter goes and comes back. Nil: slog.Default().
	Logger *slog.Logger

	mu        sync.Mutex
	down      error // why it cannot be reached; nil: it can, or nobody has tried
	closed    bool
	lists     map[milterkit.Stage][]string // the macros it would like to have
	searching sync.WaitGroup
	stop      context.CancelFunc // of the search
}

// DefaultConnectTimeout bounds dialling and negotiation where a Milter gives no
// other time.
const DefaultConnectTimeout = 5 * time.Second

// The time between two looks for a milter that is down.
const (
	firstLook = 250 * time.Millisecond
	lastLook  = 10 * time.Second
)

// ErrDown is the reason of a failure while the milter is known not to be there.
var ErrDown = errors.New("the milter is down")

// Name returns the Label, or the address.
func (m *Milter) Name() string {
	if m.Label != "" {
		return m.Label
	}
	return m.Addr
}

// Hooks implements [milterkit.Child]. The hooks have a connection in common,
// which is not opened yet.
func (m *Milter) Hooks() milterkit.Hooks {
	c := &conn{m: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	return milterkit.Hooks{
		Connect:     c.connect,
		Helo:        c.helo,
		Mail:        c.mail,
		Rcpt:        c.rcpt,
		RefusedRcpt: c.refusedRcpt,
		Data:        c.data,
		Header:      c.header,
		Body:        c.body,
		Message:     c.message,
		Unknown:     c.unknown,
		Reset:       c.reset,
		Close:       c.close,
		Macros:      m.lists,
	}
}

// Probe dials the milter, negotiates and says goodbye. It tells whether there
// is a milter at the address, and learns which macros it would like to have.
func (m *Milter) Probe(ctx context.Context) error {
	nc, _, _, err := m.open(ctx, wire.AllActions)
	if err != nil {
		return err
	}
	nc.Write(wire.AppendFrame(nil, wire.CmdQuit, nil))
	return nc.Close()
}

// Close ends the search for a milter that is down, and waits for it.
func (m *Milter) Close() error {
	m.mu.Lock()
	m.closed = true
	if m.stop != nil {
		m.stop()
	}
	m.mu.Unlock()
	m.searching.Wait()
	return nil
}

// open dials the milter and negotiates with it.
func (m *Milter) open(ctx context.Context, actions milterkit.Actions) (nc net.Conn, r *wire.Reader, answer wire.Negotiation, err error) {
	timeout := m.ConnectTimeout
	if timeout <= 0 {
		timeout = DefaultConnectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := m.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if nc, err = dial(ctx, m.Network, m.Addr); err != nil {
		return nil, nil, answer, err
	}
	release := context.AfterFunc(ctx, func() { nc.SetDeadline(aLongTimeAgo) })
	defer func() {
		if !release() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			nc.Close()
			nc = nil
		}
	}()
	offer := wire.Negotiation{Version: wire.MaxVersion, Actions: actions & wire.AllActions, Steps: wire.AllSteps}
	if _, err = nc.Write(offer.Append(nil)); err != nil {
		return nc, nil, answer, err
	}
	r = wire.NewReader(nc, make([]byte, readBuffer))
	f, err := r.Next()
	if err != nil {
		return nc, nil, answer, fmt.Errorf("negotiation: %w", err)
	}
	if f.Code != wire.CmdNegotiate {
		return nc, nil, answer, &wire.ProtocolError{Code: f.Code, Reason: "in place of the negotiation"}
	}
	if answer, err = wire.ParseNegotiation(f.Payload); err == nil {
		answer, err = m.agree(offer, answer)
	}
	return nc, r, answer, err
}

// agree checks a milter's answer to an offer, and learns its macro lists.
func (m *Milter) agree(offer, answer wire.Negotiation) (wire.Negotiation, error) {
	if answer.Version < wire.MinVersion || answer.Version > offer.Version {
		return answer, fmt.Errorf("it speaks version %d of the milter protocol; 2 to 6 are spoken here", answer.Version)
	}
	if more := answer.Actions &^ offer.Actions; more != 0 {
		return answer, fmt.Errorf("it asks for actions %#x, which the MTA does not offer", uint32(more))
	}
	// Commands that its version does not have.
	if answer.Version < 3 {
		answer.Steps |= wire.NoUnknown
	}
	if answer.Version < 4 {
		answer.Steps |= wire.NoData
	}
	if lists := macroLists(answer); lists != nil {
		m.mu.Lock()
		m.lists = lists // never changed in place: sessions share it
		m.mu.Unlock()
	}
	return answer, nil
}

// macroLists returns the macros that a milter has asked for, by stage. Header
// fields go by the list of the end of header, the body by that of the end of
// message. Source: Postfix, milter8_header and milter8_body.
func macroLists(answer wire.Negotiation) map[milterkit.Stage][]string {
	if len(answer.MacroLists) == 0 {
		return nil
	}
	lists := make(map[milterkit.Stage][]string, len(answer.MacroLists)+1)
	for _, l := range answer.MacroLists {
		if at, ok := listStages[l.Stage]; ok {
			lists[at] = l.Names
		}
	}
	lists[milterkit.StageBody] = lists[milterkit.StageMessage]
	return lists
}

var listStages = map[wire.Stage]milterkit.Stage{
	wire.StageConnect: milterkit.StageConnect,
	wire.StageHelo:    milterkit.StageHelo,
	wire.StageMail:    milterkit.StageMail,
	wire.StageRcpt:    milterkit.StageRcpt,
	wire.StageData:    milterkit.StageData,
	wire.StageEOH:     milterkit.StageHeader,
	wire.StageEOM:     milterkit.StageMessage,
}

// isDown returns why the milter cannot be reached, as far as is known.
func (m *Milter) isDown() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDown, m.down)
}

// goneDown notes that the milter cannot be reached, and has it looked for.
func (m *Milter) goneDown(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil || m.closed {
		return
	}
	m.down = err
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.searching.Go(func() {
		defer cancel()
		m.search(ctx)
	})
}

// search looks for the milter until it is there.
func (m *Milter) search(ctx context.Context) {
	log := m.Logger
	if log == nil {
		log = slog.Default()
	}
	log.Warn("milter is down", "milter", m.Name(), "socket", m.Network+":"+m.Addr, "error", m.isDown())
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if m.Probe(ctx) == nil {
			m.mu.Lock()
			m.down = nil
			m.mu.Unlock()
			log.Info("milter is back", "milter", m.Name())
			return
		}
	}
}
