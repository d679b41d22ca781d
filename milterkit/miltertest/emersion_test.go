package miltertest_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"

	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// stranger is a filter written with go-milter.
type stranger struct {
	milter.NoOpMilter
	subject string
}

func (s *stranger) RcptTo(to string, m *milter.Modifier) (milter.Response, error) {
	if strings.HasPrefix(to, "nobody") {
		return milter.NewResponseStr('y', "550 5.1.1 no such user"), nil
	}
	return milter.RespContinue, nil
}

func (s *stranger) Header(name, value string, m *milter.Modifier) (milter.Response, error) {
	if name == "Subject" {
		s.subject = value
	}
	return milter.RespContinue, nil
}

func (s *stranger) Body(m *milter.Modifier) (milter.Response, error) {
	m.ChangeHeader(1, "Subject", "["+m.Macros["i"]+"] "+s.subject)
	m.AddHeader("X-Stranger", "was here")
	m.ReplaceBody([]byte("other\r\n"))
	m.Quarantine("strange")
	return milter.RespAccept, nil
}

func TestPlayerAgainstGoMilter(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &milter.Server{
		NewMilter: func() milter.Milter { return &stranger{} },
		Actions:   milter.OptChangeHeader | milter.OptAddHeader | milter.OptChangeBody | milter.OptQuarantine,
	}
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()
	defer func() { server.Close(); <-served }()

	m, err := Dial(t.Context(), "unix", ln.Addr().String(), Offer{Timeout: 5 * time.Second, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &Player{MTA: m, Client: client}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	in := mail()
	in.To = append(in.To, Recipient{Addr: "<nobody@example.net>"})
	o, err := p.Mail(in)
	if err != nil {
		t.Fatal(err)
	}
	want := "Subject: [4B2] hello\nX-Empty:\nX-Stranger: was here\n\nother\n"
	if diff := cmp.Diff(want, o.Message.String()); diff != "" || !o.Held || len(o.Refused) != 1 {
		t.Errorf("%s\n%+v", diff, o)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestFilterAgainstGoMilter(t *testing.T) {
	f, addr := start(t, Script{On: map[byte][]Answer{
		wire.CmdRcpt: {{If: "nobody", Text: "550 5.1.1 no such user"}},
		wire.CmdEOM:  {{Progress: 2, Edits: []Edit{AddHeader("X-A", "1"), ReplaceBody("new\r\n")}, Verdict: Accept}},
	}})
	s, err := milter.NewClientWithOptions("unix", addr, milter.ClientOptions{
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, ActionMask: 0x3f, ProtocolMask: 0x7f,
	}).Session()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	note := func(a *milter.Action, err error) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(string(rune(a.Code))+" "+a.SMTPText))
	}
	note(s.Conn("mx", milter.FamilyInet, 25, "192.0.2.1"))
	note(s.Helo("mx"))
	note(s.Mail("a@b", nil))
	note(s.Rcpt("nobody@c", nil))
	note(s.Rcpt("d@c", nil))
	note(s.HeaderField("Subject", "x"))
	note(s.HeaderEnd())
	mods, a, err := s.BodyReadFrom(strings.NewReader("text\r\n"))
	note(a, err)
	if diff := cmp.Diff([]string{"c", "c", "c", "y 5.1.1 no such user", "c", "c", "c", "a"}, got); diff != "" {
		t.Error(diff)
	}
	if len(mods) != 2 || mods[0].HeaderName != "X-A" || mods[0].HeaderValue != "1" || string(mods[1].Body) != "new\r\n" {
		t.Errorf("%+v", mods)
	}
	if saw := f.Saw(); saw[0] != "connect mx 4 192.0.2.1 25" || saw[len(saw)-1] != "eom" {
		t.Errorf("%q", saw)
	}
}
