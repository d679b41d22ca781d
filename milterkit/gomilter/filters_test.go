package gomilter_test

import (
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"

	"github.com/emersion/go-milter"
)

// The filters here are written as users write them.

// letterhead edits each message in all ways that there are.
type letterhead struct {
	milter.NoOpMilter
	host, queueID string
	headers, body int
}

func (f *letterhead) Connect(host, family string, port uint16, addr net.IP, m *milter.Modifier) (milter.Response, error) {
	f.host = fmt.Sprint(host, " ", family, " ", port, " ", addr)
	return milter.RespContinue, nil
}

func (f *letterhead) Header(string, string, *milter.Modifier) (milter.Response, error) {
	f.headers++
	return milter.RespContinue, nil
}

func (f *letterhead) BodyChunk(chunk []byte, m *milter.Modifier) (milter.Response, error) {
	f.body += len(chunk)
	f.queueID = m.Macros["i"]
	return milter.RespContinue, nil
}

func (f *letterhead) Body(m *milter.Modifier) (milter.Response, error) {
	for _, err := range []error{
		m.AddHeader("X-Seen", fmt.Sprintf("%s %q %d fields, %d bytes", f.queueID, f.host, f.headers, f.body)),
		m.InsertHeader(1, "X-First", "yes"),
		m.ChangeHeader(1, "Subject", "changed\n and folded"),
		m.ChangeHeader(2, "X-Twice", ""),
		m.AddRecipient("d@example.net"), m.DeleteRecipient("b@example.net"), m.ChangeFrom("<new@example.org>"),
		m.ReplaceBody([]byte(strings.Repeat("new text\r\n", 20_000))),
	} {
		if err != nil {
			return nil, err
		}
	}
	return milter.RespAccept, nil
}

// doorman refuses recipients that are not there, with a reply of two lines.
type doorman struct{ milter.NoOpMilter }

func (doorman) RcptTo(to string, _ *milter.Modifier) (milter.Response, error) {
	if strings.HasPrefix(to, "nobody@") {
		return milter.NewResponseStr('y', "550-5.1.1 no such user\r\n550 5.1.1 here"), nil
	}
	return milter.RespContinue, nil
}

// jailer holds what is sent by a stranger.
type jailer struct {
	milter.NoOpMilter
	stranger bool
}

func (f *jailer) MailFrom(from string, _ *milter.Modifier) (milter.Response, error) {
	f.stranger = strings.HasPrefix(from, "bad")
	return milter.RespContinue, nil
}

func (f *jailer) Body(m *milter.Modifier) (milter.Response, error) {
	if f.stranger {
		if err := m.Quarantine("a stranger"); err != nil {
			return nil, err
		}
	}
	return milter.RespContinue, nil
}

// silent answers nothing before the end of the message, and has said so.
type silent struct{ subject string }

const noReplies = milter.OptNoConnReply | milter.OptNoHeloReply | milter.OptNoMailReply | milter.OptNoRcptReply |
	milter.OptNoHeaderReply | milter.OptNoEOHReply | milter.OptNoBodyReply

func (*silent) Connect(string, string, uint16, net.IP, *milter.Modifier) (milter.Response, error) {
	return nil, nil
}
func (*silent) Helo(string, *milter.Modifier) (milter.Response, error)      { return nil, nil }
func (*silent) MailFrom(string, *milter.Modifier) (milter.Response, error)  { return nil, nil }
func (*silent) RcptTo(string, *milter.Modifier) (milter.Response, error)    { return nil, nil }
func (*silent) BodyChunk([]byte, *milter.Modifier) (milter.Response, error) { return nil, nil }
func (*silent) Abort(*milter.Modifier) error                                { return nil }

func (f *silent) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	if name == "Subject" {
		f.subject = value
	}
	return nil, nil
}

func (*silent) Headers(textproto.MIMEHeader, *milter.Modifier) (milter.Response, error) {
	return nil, nil
}

func (f *silent) Body(m *milter.Modifier) (milter.Response, error) {
	return milter.RespContinue, m.AddHeader("X-Subject-Was", f.subject)
}

// scripted notes each call in a header field, and does something else at one stage
// of a message from somebody bad.
type scripted struct {
	at   string
	do   func() (milter.Response, error)
	bad  bool
	body int // bytes; in how many pieces they come depends on how the message arrives
	seen []string
}

func (f *scripted) call(stage, what string, m *milter.Modifier) (milter.Response, error) {
	f.seen = append(f.seen, fmt.Sprintf("%s(%s, %d macros)", stage, what, len(m.Macros)))
	if stage == f.at && (f.bad || stage == "connect" || stage == "helo") {
		return f.do()
	}
	return milter.RespContinue, nil
}

func (f *scripted) Connect(host, family string, port uint16, addr net.IP, m *milter.Modifier) (milter.Response, error) {
	return f.call("connect", fmt.Sprint(host, " ", family, " ", port, " ", addr), m)
}

func (f *scripted) Helo(name string, m *milter.Modifier) (milter.Response, error) {
	return f.call("helo", name, m)
}

func (f *scripted) MailFrom(from string, m *milter.Modifier) (milter.Response, error) {
	f.bad = strings.HasPrefix(from, "bad")
	return f.call("mail", from, m)
}

func (f *scripted) RcptTo(to string, m *milter.Modifier) (milter.Response, error) {
	return f.call("rcpt", to, m)
}

func (f *scripted) Header(name, value string, m *milter.Modifier) (milter.Response, error) {
	return f.call("header", name+": "+value, m)
}

func (f *scripted) Headers(h textproto.MIMEHeader, m *milter.Modifier) (milter.Response, error) {
	return f.call("end of header", fmt.Sprint(len(h)), m)
}

func (f *scripted) BodyChunk(chunk []byte, m *milter.Modifier) (milter.Response, error) {
	f.body += len(chunk)
	if f.at == "body" && f.bad {
		return f.do()
	}
	return milter.RespContinue, nil
}

func (f *scripted) Body(m *milter.Modifier) (milter.Response, error) {
	r, err := f.call("end of message", fmt.Sprint(f.body, " bytes so far"), m)
	if err == nil {
		err = m.AddHeader("X-Saw", strings.Join(f.seen, " "))
	}
	return r, err
}

func (f *scripted) Abort(m *milter.Modifier) error {
	_, err := f.call("abort", "", m)
	return err
}

// What a scripted filter can do.
var deeds = map[string]func() (milter.Response, error){
	"accept":   func() (milter.Response, error) { return milter.RespAccept, nil },
	"reject":   func() (milter.Response, error) { return milter.RespReject, nil },
	"tempfail": func() (milter.Response, error) { return milter.RespTempFail, nil },
	"discard":  func() (milter.Response, error) { return milter.RespDiscard, nil },
	"reply":    func() (milter.Response, error) { return milter.NewResponseStr('y', "550 5.7.1 not from you"), nil },
	"error":    func() (milter.Response, error) { return nil, errors.New("the database is gone") },
	"panic":    func() (milter.Response, error) { panic("index out of range, or the like") },
}

var stages = []string{"connect", "helo", "mail", "rcpt", "header", "end of header", "body", "end of message", "abort"}
