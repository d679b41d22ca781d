package miltertest_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// The law of equivalence, over sockets: a chain of filters behind milterkit
// answers as the same filters do that the MTA asks one after another, and each
// of them sees the same. The dispatcher has a model of its own for this; here
// nothing is a model but the MTA, which was compared with a real Postfix.

// An ending is what is compared of an Outcome.
type ending struct {
	Result    Result
	Reply     string
	Refused   []string
	Delivered string // envelope and message; "" where there is no delivery
	Held      bool
	Reason    string
}

func endingOf(o *Outcome) ending {
	e := ending{Result: o.Result, Reply: o.Reply, Refused: o.Refused}
	if o.Result == Accepted {
		e.Delivered = o.Envelope.From + " " + strings.Join(o.Envelope.To, " ") + "\n" + o.Message.String()
		e.Held, e.Reason = o.Held, o.Reason
	}
	return e
}

// A postfix asks filters as Postfix asks the milters of its list, but that a
// quarantine does not keep the message from those after it, as milterkit has it.
type postfix struct {
	mtas    []*MTA
	gone    []bool // which have accepted the session?
	out     []bool // which have accepted the message?
	refused *Reply
}

// ask asks one after another, and returns the first answer that is neither
// continue nor accept.
func (p *postfix) ask(settled []bool, ask func(m *MTA) (Reply, error)) (Reply, error) {
	for i, m := range p.mtas {
		if p.gone[i] || settled[i] {
			continue
		}
		switch r, err := ask(m); {
		case err != nil || r.Refused() || r.Kind == Discard:
			return r, err
		case r.Kind == Accept:
			settled[i] = true
		}
	}
	return Reply{Kind: Continue}, nil
}

func (p *postfix) open(c Client) error {
	p.gone = make([]bool, len(p.mtas))
	r, err := p.ask(p.gone, func(m *MTA) (Reply, error) { return m.Connect(c.Host, c.Family, c.Port, c.Addr) })
	if err == nil && !r.Refused() {
		r, err = p.ask(p.gone, func(m *MTA) (Reply, error) { return m.Helo(c.Helo) })
	}
	if r.Refused() {
		p.refused = &r
	}
	return err
}

func (p *postfix) mail(mail Mail) (*Outcome, error) {
	o := &Outcome{Envelope: Envelope{From: mail.From}, Message: mail.Message}
	if p.refused != nil {
		settle(o, *p.refused)
		return o, nil
	}
	p.out = make([]bool, len(p.mtas))
	r, err := p.transaction(mail, o)
	if err != nil {
		return o, err
	}
	settle(o, r)
	for i, m := range p.mtas {
		if !p.gone[i] {
			m.Abort()
		}
	}
	return o, nil
}

// settle notes how the answer that ended a message ended it.
func settle(o *Outcome, r Reply) {
	switch o.Reply = r.SMTP(); {
	case r.Kind == Discard:
		o.Result = Discarded
	case o.Reply != "" && o.Reply[0] == '4':
		o.Result = TempFailed
	case o.Reply != "":
		o.Result = Rejected
	}
}

func (p *postfix) transaction(mail Mail, o *Outcome) (Reply, error) {
	r, err := p.ask(p.out, func(m *MTA) (Reply, error) { return m.Mail(mail.From) })
	if err != nil || r.Kind != Continue {
		return r, err
	}
	for _, to := range mail.To {
		r, err = p.ask(p.out, func(m *MTA) (Reply, error) { return m.Rcpt(to.Addr) })
		switch {
		case err != nil || r.Kind == Discard:
			return r, err
		case r.Refused():
			o.Refused = append(o.Refused, to.Addr)
		default:
			o.Envelope.To = append(o.Envelope.To, to.Addr)
		}
	}
	if len(o.Envelope.To) == 0 {
		return r, nil
	}
	r, err = p.ask(p.out, func(m *MTA) (Reply, error) { return m.Data() })
	if err != nil || r.Kind != Continue {
		return r, err
	}
	return p.ask(p.out, func(m *MTA) (Reply, error) {
		edits, r, err := content(m, o.Message)
		if err != nil || r.Refused() || r.Kind == Discard {
			return r, err
		}
		o.Message, o.Envelope = o.Message.Apply(edits), o.Envelope.Apply(edits)
		if reason, held := Held(edits); held {
			o.Held, o.Reason = true, reason
		}
		return r, nil
	})
}

// content shows one filter a message.
func content(m *MTA, msg *Message) ([]Edit, Reply, error) {
	for _, f := range msg.Shown() {
		if r, err := m.Header(f.Name, f.Value); err != nil || r.Final() {
			return nil, r, err
		}
	}
	if r, err := m.EOH(); err != nil || r.Final() {
		return nil, r, err
	}
	if len(msg.Body) > 0 {
		if r, err := m.Body(msg.Body); err != nil || r.Final() {
			return nil, r, err
		}
	}
	return m.EOM()
}

func randomEdits(r *rand.Rand) []Edit {
	name := []string{"A", "B", "X-N", "Received", "Subject"}[r.IntN(5)]
	value := fmt.Sprint("v", r.IntN(100))
	all := []Edit{
		AddHeader(name, value), InsertHeader(r.IntN(8), name, value), ChangeHeader(r.IntN(4), name, value), DeleteHeader(r.IntN(4), name),
		AddRecipient("<new@d>"), DeleteRecipient("<r1@d>"), ChangeSender("<" + value + "@x>"), Quarantine(value),
	}
	var edits []Edit
	for range r.IntN(5) {
		edits = append(edits, all[r.IntN(len(all))])
	}
	if r.IntN(4) == 0 {
		edits = append(edits, ReplaceBody(value+"\r\n"))
	}
	return edits
}

func randomScript(r *rand.Rand, name string) Script {
	s := Script{Actions: wire.AllActions, On: map[byte][]Answer{}, Version: []uint32{0, 0, 0, 2, 3, 4, 6}[r.IntN(7)]}
	for _, a := range asks {
		if a.cmd == wire.CmdUnknown {
			continue
		}
		if r.IntN(6) == 0 {
			s.Steps |= wire.NoStep(a.cmd)
		}
		if r.IntN(5) == 0 {
			s.Steps |= wire.NoReply(a.cmd)
		}
		often := 25
		if a.cmd == wire.CmdRcpt || a.cmd == wire.CmdEOM {
			often = 5
		}
		if r.IntN(often) > 0 {
			continue
		}
		answer := Answer{Verdict: []Kind{Accept, Reject, TempFail, Discard, Continue}[r.IntN(5)]}
		switch {
		case answer.Verdict == Continue:
			answer.Text = "550 5.7.1 " + name + " 100% " + Word(a.cmd)
		case answer.Verdict == Discard && (a.cmd == wire.CmdConnect || a.cmd == wire.CmdHelo):
			answer.Verdict = Accept // a discard means nothing there
		}
		if a.cmd == wire.CmdRcpt || a.cmd == wire.CmdHeader {
			answer.Nth = r.IntN(3)
		}
		if a.cmd == wire.CmdEOM {
			answer.Edits = randomEdits(r)
		}
		s.On[a.cmd] = append(s.On[a.cmd], answer)
	}
	if r.IntN(4) == 0 {
		s.On[wire.CmdBody] = append(s.On[wire.CmdBody], Answer{Verdict: Skip})
	}
	s.On[wire.CmdEOM] = append(s.On[wire.CmdEOM], Answer{Edits: randomEdits(r), Progress: r.IntN(2)})
	for _, step := range []wire.Steps{wire.LeadingSpace, wire.CanSkip} {
		if r.IntN(2) == 0 {
			s.Steps |= step
		}
	}
	return s
}

// essence returns what a filter saw and answered, without what may differ: when
// it was dialled again it is told anew who the client is, and what was on its
// way to it when it gave a verdict reached it all the same.
func essence(f *Filter) []string {
	var lines []string
	over := false // has it given its verdict on the message?
	for _, e := range f.Events() {
		switch e.Cmd {
		case wire.CmdMacros, wire.CmdNegotiate, wire.CmdAbort, wire.CmdQuit, Closed:
			continue
		case wire.CmdConnect, wire.CmdHelo:
			if e.Session > 1 {
				continue
			}
		case wire.CmdMail:
			over = false
		}
		if over {
			continue
		}
		lines = append(lines, e.String())
		refusedRcpt := e.Cmd == wire.CmdRcpt && e.Reply != "accept" && e.Reply != "discard"
		over = e.Reply != "" && e.Reply != "continue" && e.Reply != "skip" && !refusedRcpt
	}
	return lines
}

// behind puts filters behind a milterkit server and returns its socket.
func behind(t *testing.T, dir string, addrs []string) string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var slots []milterkit.Slot
	for i, addr := range addrs {
		slots = append(slots, milterkit.Slot{Child: &remote.Milter{Label: fmt.Sprint("f", i), Network: "unix", Addr: addr, Logger: quiet}})
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = quiet
	ln, err := net.Listen("unix", filepath.Join(dir, "milterkit"))
	if err != nil {
		t.Fatal(err)
	}
	s := &milterkit.Server{Dispatcher: d}
	ended := make(chan error)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() { s.Close(); <-ended })
	return ln.Addr().String()
}

func TestAChainBehindMilterkitAnswersAsOneAfterAnother(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			compareChain(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func compareChain(t *testing.T, r *rand.Rand) {
	dir := t.TempDir()
	direct, chain := &postfix{}, []*Filter(nil)
	var alone []*Filter
	var addrs []string
	for i := range 1 + r.IntN(4) {
		s := randomScript(r, fmt.Sprint("f", i))
		for _, way := range []string{"alone", "behind"} {
			f := &Filter{Script: s}
			addr, err := f.Start("unix", filepath.Join(dir, fmt.Sprint(way, i)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if way == "behind" {
				chain, addrs = append(chain, f), append(addrs, addr)
				continue
			}
			m, err := Dial(t.Context(), "unix", addr, Offer{Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			direct.mtas, alone = append(direct.mtas, m), append(alone, f)
		}
	}
	m, err := Dial(t.Context(), "unix", behind(t, dir, addrs), Offer{Strict: true, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p := &Player{MTA: m, Client: client}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	if err := direct.open(client); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		mail := Mail{From: "<a@b>", QueueID: fmt.Sprint("Q", n), Message: ParseMessage([]byte("A: 1\nB: 2\nA:3\nReceived: x\n\ty\nX-E:\n\n"))}
		mail.Message.AddReceived(" own")
		if r.IntN(4) > 0 {
			mail.Message.Body = []byte("body\r\nlines\r\n")
		}
		for i := range 1 + r.IntN(3) {
			mail.To = append(mail.To, Recipient{Addr: fmt.Sprintf("<r%d@d>", i)})
		}
		want, err := direct.mail(mail)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Mail(mail)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(endingOf(want), endingOf(got)); diff != "" {
			t.Errorf("message %d: -alone +behind\n%s", n+1, diff)
		}
	}
	p.Close()
	for i := range chain {
		direct.mtas[i].Quit()
		alone[i].Idle(t.Context(), alone[i].Sessions())
		chain[i].Idle(t.Context(), chain[i].Sessions())
		if diff := cmp.Diff(essence(alone[i]), essence(chain[i])); diff != "" {
			t.Errorf("filter %d saw: -alone +behind\n%s", i, diff)
		}
	}
}
