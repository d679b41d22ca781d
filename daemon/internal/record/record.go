// Package record has what is known of one message after it has gone past the
// milters: who sent it, what each milter was asked and said, and what came of it. It is
// what the journal keeps, what trace and replay print, and what the status page shows.
// It has neither the body nor the header, but for the message's Message-ID and the
// fields that milters have written. Texts are as they came: who prints them escapes them.
package record

import (
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// Bounds of one record: what is beyond them is left out, and counted.
const (
	MaxRecipients = 100
	MaxSteps      = 300
	lastSteps     = 100 // of these, the last ones, which say what came of the message
	MaxChanges    = 30  // of one milter
	maxText       = 512
)

// A Message is one message, or a session that was refused before it had one (then
// Sender is nil).
type Message struct {
	Session  uint64        `json:"session"`
	QueueID  string        `json:"queue_id,omitempty"`
	Time     time.Time     `json:"time"`           // when it began, at MAIL
	Took     time.Duration `json:"took,omitempty"` // until its end
	Client   string        `json:"client,omitempty"`
	Addr     string        `json:"addr,omitempty"` // of the client
	Helo     string        `json:"helo,omitempty"`
	Auth     string        `json:"auth,omitempty"` // the name under which the client has logged in
	Daemon   string        `json:"daemon,omitempty"`
	Sender   *string       `json:"sender,omitempty"`
	To       []string      `json:"to,omitempty"`      // recipients that were taken, MaxRecipients at most
	Rcpts    int           `json:"rcpts,omitempty"`   // how many were taken
	Refused  int           `json:"refused,omitempty"` // how many milters refused
	ID       string        `json:"message_id,omitempty"`
	Size     int64         `json:"size,omitempty"` // of the body, in bytes
	Outcome  string        `json:"outcome"`        // accept, reject, tempfail, discard, quarantine or aborted
	Code     int           `json:"code,omitempty"` // of the SMTP reply that refused it
	Reply    string        `json:"reply,omitempty"`
	By       string        `json:"by,omitempty"` // the milter that decided; milterkit: a limit, or its end
	At       string        `json:"at,omitempty"` // the stage at which it did
	Edits    int           `json:"edits,omitempty"`
	Milters  []Milter      `json:"milters,omitempty"`    // in their order
	Steps    []Step        `json:"steps,omitempty"`      // as they came, MaxSteps at most
	MoreStep int           `json:"more_steps,omitempty"` // how many are left out, before the lastSteps
}

// A Milter is the part of one milter in a message.
type Milter struct {
	Name    string        `json:"name"`
	Verdict string        `json:"verdict"` // the last one that was not continue
	Code    int           `json:"code,omitempty"`
	Reply   string        `json:"reply,omitempty"`
	Error   string        `json:"error,omitempty"` // why it failed
	At      string        `json:"at,omitempty"`
	Edits   int           `json:"edits,omitempty"`
	Changes []Change      `json:"changes,omitempty"` // MaxChanges of its edits at most
	Took    time.Duration `json:"took"`
	Shadow  bool          `json:"shadow,omitempty"`
}

// A Change is an edit in short. A new body is its length.
type Change struct {
	Op    string `json:"op"`
	Index int    `json:"index,omitempty"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
	Bytes int    `json:"bytes,omitempty"` // of a new body
}

// A Step is one answer of a milter, or of its condition.
type Step struct {
	Milter    string        `json:"milter"`
	At        string        `json:"at"`
	To        string        `json:"to,omitempty"`        // the recipient that was asked about
	Condition string        `json:"condition,omitempty"` // its condition was asked: "holds", "does not hold" or "fails"
	Verdict   string        `json:"verdict,omitempty"`   // else: what it said
	Code      int           `json:"code,omitempty"`
	Reply     string        `json:"reply,omitempty"`
	Error     string        `json:"error,omitempty"`
	After     time.Duration `json:"after"` // since Time; below 0: before the message began
	Took      time.Duration `json:"took"`
	Calls     int           `json:"calls,omitempty"` // where it was asked several times in a row, about pieces of the body
}

// Of makes a record of a report, which holds for the call only; the record is the
// caller's. It does not wait for anything.
func Of(r *milterkit.Report, now time.Time) *Message {
	s := r.Message.Session
	m := &Message{
		Session: s.ID, QueueID: short(r.Message.QueueID()), Time: now.Add(-r.Took), Took: r.Took,
		Client: short(s.Host), Addr: address(s), Helo: short(s.Helo), Auth: short(s.AuthUser()), Daemon: short(s.Daemon()),
		Refused: r.Refused, Size: r.Size, Outcome: r.Outcome(), By: r.By, Edits: r.Edits,
	}
	if r.By != "" {
		m.At = r.At.String()
	}
	m.Code, m.Reply = reply(r.Verdict)
	if r.By == "" || r.At >= milterkit.StageMail {
		sender := short(r.Message.Sender.Addr)
		m.Sender = &sender
		m.ID = short(strings.Trim(r.Message.Get("Message-ID"), "<>"))
	}
	m.Rcpts = len(r.Message.Recipients)
	for _, a := range r.Message.Recipients[:min(m.Rcpts, MaxRecipients)] {
		m.To = append(m.To, short(a.Addr))
	}
	for i := range r.Children {
		m.Milters = append(m.Milters, milterOf(&r.Children[i]))
	}
	shown := r.Events
	if n := len(shown) - MaxSteps; n > 0 {
		m.MoreStep = n
		shown = slices.Concat(shown[:MaxSteps-lastSteps], shown[len(shown)-lastSteps:])
	}
	for i := range shown {
		m.Steps = append(m.Steps, stepOf(&shown[i], m.Time))
	}
	return m
}

func milterOf(c *milterkit.ChildReport) Milter {
	m := Milter{Name: c.Name, Verdict: c.Verdict.Kind().String(), Edits: c.Edits, Took: c.Took, Shadow: c.Shadow, Error: why(c.Verdict)}
	m.Code, m.Reply = reply(c.Verdict)
	if c.Verdict.Kind() != milterkit.KindContinue {
		m.At = c.At.String()
	}
	for _, e := range c.Changes[:min(len(c.Changes), MaxChanges)] {
		change := Change{Op: e.Op.String(), Index: e.Index, Name: short(e.Name), Value: short(e.Value)}
		for _, piece := range e.Body {
			change.Bytes += len(piece)
		}
		m.Changes = append(m.Changes, change)
	}
	return m
}

func stepOf(e *milterkit.Event, began time.Time) Step {
	s := Step{Milter: e.Child, At: e.At.String(), To: short(e.To), Error: why(e.Verdict), After: e.Start.Sub(began), Took: e.Took}
	if e.Calls > 1 {
		s.Calls = e.Calls
	}
	if e.Condition {
		switch e.Verdict.Kind() {
		case milterkit.KindContinue:
			s.Condition = "holds"
		case milterkit.KindFail:
			s.Condition = "fails"
		default:
			s.Condition = "does not hold"
		}
		return s
	}
	s.Verdict = e.Verdict.Kind().String()
	s.Code, s.Reply = reply(e.Verdict)
	return s
}

// Refusals returns the answers that refused a recipient, as they came: those of milters
// that count, which refused it or failed.
func (m *Message) Refusals() (list []*Step) {
	if m.Refused == 0 {
		return nil
	}
	for i := range m.Steps {
		s := &m.Steps[i]
		refuses := s.Verdict == "reject" || s.Verdict == "tempfail" ||
			s.Verdict == "fail" && !slices.Contains(m.To, s.To) // else its default_action took it
		if s.At == "rcpt" && s.Condition == "" && refuses && !m.IsShadow(s.Milter) {
			list = append(list, s)
		}
	}
	return list
}

// IsShadow reports whether a milter was a shadow for this message.
func (m *Message) IsShadow(name string) bool {
	return slices.ContainsFunc(m.Milters, func(c Milter) bool { return c.Name == name && c.Shadow })
}

func reply(v milterkit.Verdict) (code int, text string) {
	code, text = v.SMTP()
	return code, short(text)
}

func why(v milterkit.Verdict) string {
	if v.Err() == nil {
		return ""
	}
	return short(v.Err().Error())
}

// address is the client's address as Postfix writes it, or what the MTA has said.
func address(s *milterkit.Session) string {
	if a := s.Client(); a.IsValid() {
		return short(a.Addr().String()) // it may have a zone, which may be anything
	}
	return short(s.Addr)
}

// short bounds a text, and makes it one that JSON has as it is.
func short(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "\ufffd")
}
