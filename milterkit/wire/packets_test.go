package wire

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"testing"
)

// A packet is a frame as it goes over a socket, and the call that writes it.
type packet struct {
	name  string
	frame string        // length, code and payload, written out by hand
	wrote func() []byte // what our own writer makes of the same
	short []int         // lengths of payload prefixes that are good payloads too
}

// pairs is a list of macros: name, value, name, value.
func pairs(list ...string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := 0; i < len(list); i += 2 {
			if !yield(list[i], list[i+1]) {
				return
			}
		}
	}
}

// bare writes a frame without a payload.
func bare(code byte) func() []byte {
	return func() []byte { return AppendFrame(nil, code, nil) }
}

// commands of an SMTP session as Postfix and Sendmail send them.
var sent = []packet{
	{"an offer", "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff",
		func() []byte { return Negotiation{Version: 6, Actions: AllActions, Steps: AllSteps}.Append(nil) }, nil},
	{"a choice with macro lists", "\x00\x00\x00\x22O\x00\x00\x00\x06\x00\x00\x01\x11\x00\x10\x07\x02" +
		"\x00\x00\x00\x00j {v}\x00\x00\x00\x00\x06i\x00\x00\x00\x00\x05\x00",
		func() []byte {
			return Negotiation{
				Version: 6, Actions: 0x111, Steps: NoHelo | NoUnknown | NoData | CanSkip | LeadingSpace,
				MacroLists: []MacroList{{StageConnect, []string{"j", "{v}"}}, {StageEOH, []string{"i"}}, {StageEOM, nil}},
			}.Append(nil)
		}, []int{12, 22, 28}},
	{"macros", "\x00\x00\x00\x2cDCj\x00mx.example.test\x00_\x00localhost [127.0.0.1]\x00",
		func() []byte {
			return AppendMacros(nil, CmdConnect, pairs("j", "mx.example.test", "_", "localhost [127.0.0.1]"))
		}, []int{1, 3, 19, 21}},
	{"no macros", "\x00\x00\x00\x02DH", func() []byte { return AppendMacros(nil, CmdHelo, nil) }, nil},
	{"connect over IPv4", "\x00\x00\x00\x18Clocalhost\x004\x88\xe6127.0.0.1\x00",
		func() []byte {
			return Connect{Host: []byte("localhost"), Family: FamilyInet, Port: 35046, Addr: []byte("127.0.0.1")}.Append(nil)
		}, nil},
	{"connect over IPv6", "\x00\x00\x00\x19C[::1]\x006\x00\x19IPv6:dead::1:2\x00",
		func() []byte {
			return Connect{Host: []byte("[::1]"), Family: FamilyInet6, Port: 25, Addr: []byte("IPv6:dead::1:2")}.Append(nil)
		}, nil},
	{"connect over a socket file", "\x00\x00\x00\x0fClocal\x00L\x00\x00/s/k\x00",
		func() []byte {
			return Connect{Host: []byte("local"), Family: FamilyUnix, Addr: []byte("/s/k")}.Append(nil)
		}, nil},
	{"connect from nowhere", "\x00\x00\x00\x0aCunknown\x00U",
		func() []byte { return Connect{Host: []byte("unknown"), Family: FamilyUnknown}.Append(nil) }, nil},
	{"helo", "\x00\x00\x00\x10Hclient.example\x00",
		func() []byte { return AppendHelo(nil, []byte("client.example")) }, nil},
	{"mail", "\x00\x00\x00\x22M<a@example.org>\x00SIZE=12\x00SMTPUTF8\x00",
		func() []byte { return AppendAddress(nil, CmdMail, "<a@example.org>", []string{"SIZE=12", "SMTPUTF8"}) }, []int{16, 24}},
	{"mail from nobody", "\x00\x00\x00\x04M<>\x00", func() []byte { return AppendAddress(nil, CmdMail, "<>", nil) }, nil},
	{"rcpt without brackets", "\x00\x00\x00\x0fRb@example.org\x00",
		func() []byte { return AppendAddress(nil, CmdRcpt, "b@example.org", nil) }, nil},
	{"data", "\x00\x00\x00\x01T", bare(CmdData), nil},
	{"a header", "\x00\x00\x00\x18LSubject\x00 one\n\ttwo caf\xe9\x00",
		func() []byte { return AppendHeader(nil, []byte("Subject"), []byte(" one\n\ttwo caf\xe9")) }, nil},
	{"an empty header", "\x00\x00\x00\x0aLX-Empty\x00\x00",
		func() []byte { return AppendHeader(nil, []byte("X-Empty"), nil) }, nil},
	{"end of header", "\x00\x00\x00\x01N", bare(CmdEOH), nil},
	{"a body", "\x00\x00\x00\x08Bone\r\n\x00\r",
		func() []byte { return AppendFrame(nil, CmdBody, []byte("one\r\n\x00\r")) }, []int{0, 1, 2, 3, 4, 5, 6}},
	{"end of message", "\x00\x00\x00\x01E", bare(CmdEOM), nil},
	{"unknown", "\x00\x00\x00\x09UFOO bar\x00", func() []byte { return AppendUnknown(nil, []byte("FOO bar")) }, nil},
	{"abort", "\x00\x00\x00\x01A", bare(CmdAbort), nil},
	{"quit", "\x00\x00\x00\x01Q", bare(CmdQuit), nil},
	{"quit, a new connection follows", "\x00\x00\x00\x01K", bare(CmdQuitNew), nil},
}

// edit is a HeaderEdit of strings.
func edit(index uint32, name, value string) HeaderEdit {
	return HeaderEdit{Index: index, Name: []byte(name), Value: []byte(value)}
}

// rcpt is a RcptEdit of strings; args "-" is none.
func rcpt(addr, args string) RcptEdit {
	if args == "-" {
		return RcptEdit{Addr: []byte(addr)}
	}
	return RcptEdit{Addr: []byte(addr), Args: []byte(args)}
}

// replies as filters give them.
var answered = []packet{
	{"continue", "\x00\x00\x00\x01c", bare(RepContinue), nil},
	{"accept", "\x00\x00\x00\x01a", bare(RepAccept), nil},
	{"reject", "\x00\x00\x00\x01r", bare(RepReject), nil},
	{"temporary failure", "\x00\x00\x00\x01t", bare(RepTempFail), nil},
	{"discard", "\x00\x00\x00\x01d", bare(RepDiscard), nil},
	{"skip", "\x00\x00\x00\x01s", bare(RepSkip), nil},
	{"progress", "\x00\x00\x00\x01p", bare(RepProgress), nil},
	{"a reply code", "\x00\x00\x00\x13y550 5.7.1 Go away\x00",
		func() []byte { return AppendReplyCode(nil, []byte("550 5.7.1 Go away")) }, nil},
	{"a reply code of two lines", "\x00\x00\x00\x12y451-one\r\n451 two\x00",
		func() []byte { return AppendReplyCode(nil, []byte("451-one\r\n451 two")) }, nil},
	{"add a header", "\x00\x00\x00\x0ahX-A\x00 yes\x00",
		func() []byte { return AppendAddHeader(nil, edit(9, "X-A", " yes")) }, nil},
	{"insert a header", "\x00\x00\x00\x0ei\x00\x00\x00\x01X-A\x00\tno\n\x00",
		func() []byte { return AppendInsHeader(nil, edit(1, "X-A", "\tno\n")) }, nil},
	{"delete a header", "\x00\x00\x00\x0am\x00\x00\x00\x02X-A\x00\x00",
		func() []byte { return AppendChgHeader(nil, edit(2, "X-A", "")) }, nil},
	{"replace the body", "\x00\x00\x00\x04bx\r\n", func() []byte { return AppendReplaceBody(nil, []byte("x\r\n")) }, []int{0, 1, 2}},
	{"add a recipient", "\x00\x00\x00\x07+<a@b>\x00", func() []byte { return AppendAddRcpt(nil, rcpt("<a@b>", "X=Y")) }, nil},
	{"add a recipient with parameters", "\x00\x00\x00\x0c2<a@b>\x00N=OK\x00",
		func() []byte { return AppendAddRcptArgs(nil, rcpt("<a@b>", "N=OK")) }, []int{6}},
	{"add a recipient with no parameters", "\x00\x00\x00\x072<a@b>\x00",
		func() []byte { return AppendAddRcptArgs(nil, rcpt("<a@b>", "-")) }, nil},
	{"delete a recipient", "\x00\x00\x00\x07-<a@b>\x00", func() []byte { return AppendDelRcpt(nil, rcpt("<a@b>", "-")) }, nil},
	{"change the sender", "\x00\x00\x00\x0cea@b\x00RET=HD\x00",
		func() []byte { return AppendChgFrom(nil, rcpt("a@b", "RET=HD")) }, []int{4}},
	{"change the sender, empty parameters", "\x00\x00\x00\x06ea@b\x00\x00",
		func() []byte { return AppendChgFrom(nil, rcpt("a@b", "")) }, []int{4}},
	{"quarantine", "\x00\x00\x00\x06qspam\x00", func() []byte { return AppendQuarantine(nil, []byte("spam")) }, nil},
}

// packets are those of both ends.
func packets() []packet { return append(append([]packet(nil), sent...), answered...) }

// again parses a payload and writes it anew.
func again(code byte, p []byte) ([]byte, error) {
	switch code {
	case CmdNegotiate:
		n, err := ParseNegotiation(p)
		return n.Append(nil), err
	case CmdMacros:
		m, err := ParseMacros(p)
		return AppendMacros(nil, m.For, func(yield func(string, string) bool) {
			for name, value := range m.All() {
				if !yield(string(name), string(value)) {
					return
				}
			}
		}), err
	case CmdConnect:
		c, err := ParseConnect(p)
		return c.Append(nil), err
	case CmdHelo:
		name, err := ParseHelo(p)
		return AppendHelo(nil, name), err
	case CmdMail, CmdRcpt:
		a, err := ParseAddress(code, p)
		var args []string
		for arg := range a.Args() {
			args = append(args, string(arg))
		}
		return AppendAddress(nil, code, string(a.Addr), args), err
	case CmdHeader:
		name, value, err := ParseHeader(p)
		return AppendHeader(nil, name, value), err
	case CmdUnknown:
		line, err := ParseUnknown(p)
		return AppendUnknown(nil, line), err
	}
	return againReply(code, p)
}

// againReply is again for the codes of a filter; what has no format is written
// as it is.
func againReply(code byte, p []byte) ([]byte, error) {
	switch code {
	case RepReplyCode:
		text, err := ParseReplyCode(p)
		return AppendReplyCode(nil, text), err
	case RepAddHeader:
		e, err := ParseAddHeader(p)
		return AppendAddHeader(nil, e), err
	case RepInsHeader:
		e, err := ParseInsHeader(p)
		return AppendInsHeader(nil, e), err
	case RepChgHeader:
		e, err := ParseChgHeader(p)
		return AppendChgHeader(nil, e), err
	case RepAddRcpt:
		e, err := ParseAddRcpt(p)
		return AppendAddRcpt(nil, e), err
	case RepAddRcptArgs:
		e, err := ParseAddRcptArgs(p)
		return AppendAddRcptArgs(nil, e), err
	case RepDelRcpt:
		e, err := ParseDelRcpt(p)
		return AppendDelRcpt(nil, e), err
	case RepChgFrom:
		e, err := ParseChgFrom(p)
		return AppendChgFrom(nil, e), err
	case RepQuarantine:
		reason, err := ParseQuarantine(p)
		return AppendQuarantine(nil, reason), err
	}
	return AppendFrame(nil, code, p), nil
}

// What we write is, to the byte, what the protocol says.
func TestWritersGiveTheBytesOfTheProtocol(t *testing.T) {
	for _, p := range packets() {
		if got := string(p.wrote()); got != p.frame {
			t.Errorf("%s:\n got %q\nwant %q", p.name, got, p.frame)
		}
	}
}

// Writing appends: what was in dst before it stays.
func TestWritersAppend(t *testing.T) {
	dst := []byte("before")
	dst = Negotiation{Version: 2}.Append(dst)
	dst = AppendHeader(dst, []byte("A"), []byte("b"))
	dst = AppendQuarantine(dst, []byte("c"))
	want := "before\x00\x00\x00\x0dO\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x05LA\x00b\x00\x00\x00\x00\x03qc\x00"
	if string(dst) != want {
		t.Errorf("got %q\nwant %q", dst, want)
	}
}

// What is parsed can be written again and is the same, so nothing is lost on
// the way through.
func TestParseAndAppendAreInverse(t *testing.T) {
	for _, p := range packets() {
		got, err := again(p.frame[4], []byte(p.frame[5:]))
		if err != nil || string(got) != p.frame {
			t.Errorf("%s: %v\n got %q\nwant %q", p.name, err, got, p.frame)
		}
	}
}

// A payload that was cut off is a ProtocolError of its command, unless it is by
// chance a good payload.
func TestACutOffPayloadIsAnError(t *testing.T) {
	for _, p := range packets() {
		code, payload := p.frame[4], []byte(p.frame[5:])
		for n := range payload {
			good := false
			for _, s := range p.short {
				good = good || s == n
			}
			_, err := again(code, payload[:n:n])
			var fault *ProtocolError
			switch {
			case good && err != nil:
				t.Errorf("%s: %q is good: %v", p.name, payload[:n], err)
			case !good && !errors.As(err, &fault):
				t.Errorf("%s: %q: %v, want a ProtocolError", p.name, payload[:n], err)
			case !good && fault.Code != code:
				t.Errorf("%s: %q: the error names %q", p.name, payload[:n], fault.Code)
			}
		}
	}
}

// A string that holds a NUL ends there, so it cannot become two.
func TestANULEndsAString(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"helo", string(AppendHelo(nil, []byte("a\x00b"))), "\x00\x00\x00\x03Ha\x00"},
		{"unknown", string(AppendUnknown(nil, []byte("a\x00b"))), "\x00\x00\x00\x03Ua\x00"},
		{"address", string(AppendAddress(nil, CmdRcpt, "a\x00b", []string{"c\x00d"})), "\x00\x00\x00\x05Ra\x00c\x00"},
		{"macro", string(AppendMacros(nil, 'C', pairs("a\x00", "b\x00c"))), "\x00\x00\x00\x06DCa\x00b\x00"},
		{"header name", string(AppendHeader(nil, []byte("a\x00b"), []byte("c"))), "\x00\x00\x00\x05La\x00c\x00"},
		{"edit", string(AppendAddHeader(nil, edit(0, "a\x00b", "c\x00d"))), "\x00\x00\x00\x05ha\x00c\x00"},
		{"sender", string(AppendChgFrom(nil, rcpt("a\x00b", "c\x00d"))), "\x00\x00\x00\x05ea\x00c\x00"},
		{"reply", string(AppendReplyCode(nil, []byte("550 a\x00b"))), "\x00\x00\x00\x07y550 a\x00"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

// To append to a view does not write over what stands behind it.
func TestViewsHaveNoSpareCapacity(t *testing.T) {
	p := []byte("a@b\x00X=1\x00Y=2\x00")
	keep := bytes.Clone(p)
	a, _ := ParseAddress(CmdMail, p)
	views := [][]byte{a.Addr}
	for arg := range a.Args() {
		views = append(views, arg)
	}
	m, _ := ParseMacros(p)
	for name, value := range m.All() {
		views = append(views, name, value)
	}
	name, value, _ := ParseHeader(p)
	views = append(views, name, value)
	e, _ := ParseChgFrom(p[:8])
	views = append(views, e.Addr, e.Args)
	for _, v := range views {
		_ = append(v, "overwritten"...)
	}
	if !bytes.Equal(p, keep) {
		t.Errorf("the payload is now %q", p)
	}
}

// The text of an error names the command and what is wrong with it.
func TestErrorsNameTheCommand(t *testing.T) {
	_, err := ParseConnect([]byte("localhost"))
	if got, want := err.Error(), "milter protocol: CONNECT: no NUL after the host name"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = ParseChgFrom(nil)
	if !strings.Contains(err.Error(), "CHGFROM") {
		t.Errorf("got %q", err)
	}
	err = &ProtocolError{Reason: "odd"}
	if got, want := err.Error(), "milter protocol: odd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
