package daemon

import (
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// sendDocument is what send prints with --json. Times are in milliseconds.
type sendDocument struct {
	Negotiated sendChoice    `json:"negotiated"`
	Session    []sendStep    `json:"session"` // connect and helo
	Messages   []sendMessage `json:"messages"`
	Error      string        `json:"error,omitempty"`
	Elapsed    float64       `json:"elapsed_ms"`

	steps []sendStep // of the message under way
}

type sendChoice struct {
	Version uint32   `json:"version"`
	Actions []string `json:"actions"`
	Steps   []string `json:"steps"`
	Elapsed float64  `json:"elapsed_ms"`
}

type sendStep struct {
	Stage    string  `json:"stage"`
	What     string  `json:"what,omitempty"`
	Reply    string  `json:"reply"` // continue, accept, reject, tempfail, discard, reply code, skip, no reply, not sent
	Text     string  `json:"text,omitempty"`
	Progress int     `json:"progress,omitempty"`
	Elapsed  float64 `json:"elapsed_ms"`
}

type sendMessage struct {
	Result     string     `json:"result"` // accepted, rejected, tempfailed, discarded, aborted, disconnected
	At         string     `json:"at,omitempty"`
	Reply      string     `json:"reply,omitempty"`
	Quarantine *string    `json:"quarantine,omitempty"` // the reason
	Refused    []string   `json:"refused_recipients,omitempty"`
	From       string     `json:"from"`
	To         []string   `json:"to"`
	Steps      []sendStep `json:"steps"`
	Edits      []sendEdit `json:"edits"`
	Message    string     `json:"message,omitempty"` // as it is delivered, where the milter changes it
	Elapsed    float64    `json:"elapsed_ms"`
}

type sendEdit struct {
	Edit  string `json:"edit"` // as the protocol calls it: ADDHEADER
	Index int    `json:"index,omitempty"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
	Body  string `json:"body,omitempty"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// maskWords names the bits of a mask.
func maskWords(mask uint32, names []maskName) []string {
	words := []string{}
	for _, n := range names {
		if mask&n.bit != 0 {
			words = append(words, n.name)
		}
	}
	return words
}

// add adds a step, to the session or to the message under way.
func (d *sendDocument) add(s miltertest.Step) {
	step := sendStep{
		Stage: miltertest.Word(s.Cmd), What: s.What,
		Reply: s.Reply.Kind.String(), Text: s.Reply.Text, Progress: s.Reply.Progress, Elapsed: millis(s.Reply.Elapsed),
	}
	if s.Cmd == wire.CmdConnect || s.Cmd == wire.CmdHelo {
		d.Session = append(d.Session, step)
		return
	}
	d.steps = append(d.steps, step)
}

// outcome adds a message.
func (d *sendDocument) outcome(mail miltertest.Mail, o *miltertest.Outcome) {
	m := sendMessage{
		Result: o.Result.String(), Reply: o.Reply, Refused: o.Refused,
		From: o.Envelope.From, To: o.Envelope.To,
		Steps: d.steps, Edits: []sendEdit{}, Elapsed: millis(o.Elapsed),
	}
	d.steps = nil
	if o.At != 0 {
		m.At = miltertest.Word(o.At)
	}
	if o.Held {
		m.Quarantine = &o.Reason
	}
	for _, e := range o.Edits {
		m.Edits = append(m.Edits, sendEdit{wire.RepName(e.Code), e.Index, e.Name, e.Value, e.Body})
	}
	if before, after := mail.Message.String(), o.Message.String(); after != before {
		m.Message = after
	}
	d.Messages = append(d.Messages, m)
}
