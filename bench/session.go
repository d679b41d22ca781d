package bench

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// An Addr is where a milter listens.
type Addr struct{ Network, Addr string }

func (a Addr) String() string { return a.Network + ":" + a.Addr }

// sayTimeout bounds the wait for one answer: a benchmark that hangs is worth
// nothing.
const sayTimeout = 30 * time.Second

// A mta plays sessions past milters, asked one after another as Postfix asks
// its smtpd_milters: command by command at the envelope, and the whole content
// of a message milter by milter.
type mta struct {
	addrs []Addr

	mu    sync.Mutex
	plans map[planKey]*plan
}

type planKey struct {
	mail  string
	steps wire.Steps
}

// plan returns the plan of a mail, made once.
func (m *mta) plan(mail Mail, steps wire.Steps) *plan {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := planKey{mail.Name, steps}
	p := m.plans[key]
	if p == nil {
		p = newPlan(mail, steps)
		if m.plans == nil {
			m.plans = make(map[planKey]*plan)
		}
		m.plans[key] = p
	}
	return p
}

// A line is the conversation with one milter.
type line struct {
	nc    net.Conn
	r     *wire.Reader
	steps wire.Steps
	done  bool // it has accepted the message
	out   bool // it has accepted the client, and is asked nothing any more
	skip  byte // the command of which it wants no more
}

var offer = wire.Negotiation{Version: wire.MaxVersion, Actions: wire.AllActions, Steps: wire.AllSteps}.Append(nil)

// errRefused says that a milter has refused a mail, or the client.
var errRefused = errors.New("refused")

// Reach looks whether a milter is there and negotiates within a time.
func Reach(a Addr, within time.Duration) error {
	l, err := open(a, within)
	if err != nil {
		return err
	}
	l.close()
	return nil
}

// close says goodbye.
func (l *line) close() {
	l.nc.Write(goodbye)
	l.nc.Close()
}

// open dials a milter and negotiates, within a time.
func open(a Addr, within time.Duration) (*line, error) {
	nc, err := net.DialTimeout(a.Network, a.Addr, within)
	if err != nil {
		return nil, err
	}
	l := &line{nc: nc, r: wire.NewReader(nc, make([]byte, 2<<10))}
	nc.SetDeadline(time.Now().Add(within))
	if _, err := nc.Write(offer); err != nil {
		nc.Close()
		return nil, err
	}
	f, err := l.r.Next()
	if err == nil && f.Code != wire.CmdNegotiate {
		err = fmt.Errorf("%s in place of the negotiation", wire.RepName(f.Code))
	}
	var n wire.Negotiation
	if err == nil {
		n, err = wire.ParseNegotiation(f.Payload)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(sayTimeout))
	l.steps = n.Steps
	return l, nil
}

// play has the exchanges with the milter, as far as it wants them.
func (l *line) play(list []exchange) error {
	for i := range list {
		x := &list[i]
		if l.done {
			return nil
		}
		if x.cmd == l.skip {
			continue
		}
		l.skip = 0
		if len(x.out) > 64<<10 {
			l.nc.SetDeadline(time.Now().Add(sayTimeout))
		}
		if _, err := l.nc.Write(x.out); err != nil {
			return err
		}
		for range x.replies {
			if err := l.answer(x.cmd); err != nil {
				return err
			}
		}
	}
	return nil
}

// answer reads the answer to a command, and the edits before it.
func (l *line) answer(cmd byte) error {
	for {
		f, err := l.r.Next()
		if err != nil {
			return fmt.Errorf("%s: %w", wire.CmdName(cmd), err)
		}
		switch f.Code {
		case wire.RepContinue:
			return nil
		case wire.RepAccept:
			l.done = true
			return nil
		case wire.RepSkip:
			l.skip = cmd
			return nil
		case wire.RepReject, wire.RepTempFail, wire.RepDiscard, wire.RepReplyCode:
			text := wire.RepName(f.Code)
			if len(f.Payload) > 0 {
				text = miltertest.Escape(strings.TrimRight(string(f.Payload), "\x00"))
			}
			return fmt.Errorf("%w at %s: %s", errRefused, wire.CmdName(cmd), text)
		}
		// An edit, or progress: it is read past.
	}
}

var (
	abort   = wire.AppendFrame(nil, wire.CmdAbort, nil)
	goodbye = wire.AppendFrame(wire.AppendFrame(nil, wire.CmdAbort, nil), wire.CmdQuit, nil)
)

// session plays one session with mails.
func (m *mta) session(mails []Mail) error {
	lines := make([]*line, 0, len(m.addrs))
	defer func() {
		for _, l := range lines {
			l.close()
		}
	}()
	helos := make([][]exchange, len(m.addrs))
	for i, a := range m.addrs {
		l, err := open(a, sayTimeout)
		if err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		lines = append(lines, l)
		var connect []exchange
		connect, helos[i] = greeting(l.steps)
		if err := l.play(connect); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	for i, l := range lines {
		if err := l.play(helos[i]); err != nil {
			return fmt.Errorf("%s: %w", m.addrs[i], err)
		}
		l.out = l.done
	}
	for n, mail := range mails {
		if err := m.message(lines, mail, n > 0); err != nil {
			return err
		}
	}
	return nil
}

// message plays one message.
func (m *mta) message(lines []*line, mail Mail, again bool) error {
	plans := make([]*plan, len(lines))
	most := 0
	for i, l := range lines {
		if again && !l.out {
			l.nc.SetDeadline(time.Now().Add(sayTimeout))
			l.nc.Write(abort)
		}
		l.done, l.skip = l.out, 0
		plans[i] = m.plan(mail, l.steps)
		most = max(most, len(plans[i].envelope))
	}
	for step := range most {
		for i, l := range lines {
			// Lists end with the last recipient and DATA, whichever are wanted.
			if at := step - most + len(plans[i].envelope); at >= 0 {
				if err := l.play(plans[i].envelope[at : at+1]); err != nil {
					return fmt.Errorf("%s: %w", m.addrs[i], err)
				}
			}
		}
	}
	for i, l := range lines {
		if err := l.play(plans[i].content); err != nil {
			return fmt.Errorf("%s: %w", m.addrs[i], err)
		}
	}
	return nil
}
