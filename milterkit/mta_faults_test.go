package milterkit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// What an MTA can do wrong. It is a stream of bytes here, cut anywhere, with
// anything in between, to a Server in a bubble: a session that hangs is a
// deadlock there, and so is a goroutine that is left over.

// hello begins a session; letter is a message in it.
var (
	hello = [][]byte{
		wire.Negotiation{Version: 6, Actions: wire.AllActions, Steps: wire.AllSteps}.Append(nil),
		frame(wire.CmdMacros, "Cj\x00mail.example.net\x00"), frame(wire.CmdConnect, "mx\x004\x00\x19192.0.2.1\x00"),
		frame(wire.CmdMacros, "H"), frame(wire.CmdHelo, "mx\x00"),
	}
	letter = [][]byte{
		frame(wire.CmdMacros, "Mi\x004B2\x00"), frame(wire.CmdMail, "<a@b>\x00SIZE=9\x00"),
		frame(wire.CmdMacros, "R{rcpt_addr}\x00c@d\x00"), frame(wire.CmdRcpt, "<c@d>\x00"),
		frame(wire.CmdData, ""), frame(wire.CmdHeader, "A\x00\t1\x00"), frame(wire.CmdHeader, "B\x00\t2\x00"),
		frame(wire.CmdEOH, ""), frame(wire.CmdBody, "one\r\n"), frame(wire.CmdBody, "two\r\n"), frame(wire.CmdEOM, ""),
	}
	session = slices.Concat(hello, letter, [][]byte{frame(wire.CmdAbort, "")}, letter)

	// large does not fit into the buffer that a session has outside a message.
	large = frame(wire.CmdBody, strings.Repeat("large\r\n", 1000))
)

// The commands that have an answer: with an MTA that does not wait for one to each
// part of the content, and with one that does.
const (
	answered    = "OCHMRTUE"
	answeredAll = answered + "LNB"
)

// answersTo returns the answers due to frames where nobody minds: the negotiation,
// continue, and before that at the end of a message the field that is added.
func answersTo(frames [][]byte, answered string) (codes string) {
	for _, f := range frames {
		switch cmd := f[4]; {
		case strings.IndexByte(answered, cmd) < 0:
		case cmd == wire.CmdNegotiate:
			codes += "O"
		case cmd == wire.CmdEOM:
			codes += "hc"
		default:
			codes += "c"
		}
	}
	return codes
}

// count returns how many of the frames are that command.
func count(frames [][]byte, cmd byte) (n int) {
	for _, f := range frames {
		if f[4] == cmd {
			n++
		}
	}
	return n
}

// A streamed is what came of a stream.
type streamed struct {
	answers string // their codes
	log     string
	asked   []string // of a child
	rec     *recorder
}

// A streamRig is a Server in a bubble, and an MTA's end of a connection to it.
type streamRig struct {
	srv     *milterkit.Server
	log     *journal
	mta     net.Conn
	answers []byte // their codes
	all     sync.WaitGroup
}

func newStreamRig(t *testing.T, children ...milterkit.Child) *streamRig {
	t.Helper()
	var slots []milterkit.Slot
	for _, c := range children {
		slots = append(slots, milterkit.Slot{Child: c})
	}
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	r := &streamRig{srv: &milterkit.Server{Dispatcher: d, TempDir: t.TempDir()}, log: &journal{}}
	d.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	ln := newPipes()
	r.all.Go(func() { r.srv.Serve(ln) })
	r.mta = ln.dial()
	r.all.Go(func() {
		frames := wire.NewReader(r.mta, nil)
		for f, err := frames.Next(); err == nil; f, err = frames.Next() {
			r.answers = append(r.answers, f.Code)
		}
	})
	return r
}

// say writes frames. The Server may hang up meanwhile.
func (r *streamRig) say(frames ...[]byte) {
	r.all.Go(func() { r.mta.Write(slices.Concat(frames...)) })
}

// end has the MTA go away, and waits until all is over.
func (r *streamRig) end(t *testing.T) {
	t.Helper()
	r.mta.Close()
	time.Sleep(time.Minute) // for the children
	if n := milterkit.MemoryInUse(r.srv); n != 0 {
		t.Errorf("%d bytes are still in use", n)
	}
	r.srv.Close()
	r.all.Wait()
}

// streamTo plays a stream, and has the MTA go away when all is answered.
func streamTo(t *testing.T, frames ...[]byte) streamed {
	t.Helper()
	wit, rec := &witness{name: "Child"}, &recorder{}
	r := newStreamRig(t, rec, wit)
	r.say(frames...)
	synctest.Wait()
	r.end(t)
	return streamed{string(r.answers), r.log.String(), wit.saw, rec}
}

// lines returns how many lines of the log there are with that message.
func (s *streamed) lines(message string) int {
	return strings.Count(s.log, "msg="+message+" ")
}

// compareEnds looks whether each session and message that those frames begin has
// ended once.
func (s *streamed) compareEnds(t *testing.T, said [][]byte) {
	t.Helper()
	had := map[string]int{}
	for _, a := range s.asked {
		had[a]++
	}
	sessions, messages := count(said, wire.CmdNegotiate)+count(said, wire.CmdQuitNew), count(said, wire.CmdMail)
	if had["mail"] != messages || had["reset"] != messages || had["close"] != sessions {
		t.Errorf("%d messages, want %d; %d resets; %d sessions end, want %d", had["mail"], messages, had["reset"], had["close"], sessions)
	}
	if n := s.lines("message"); n != messages {
		t.Errorf("the log tells of %d messages, want %d:\n%s", n, messages, s.log)
	}
}

const ended = `"MTA connection ended"`

// An MTA that goes away at whatever byte has an answer to all that it had said
// before and to nothing else; the log says why the conversation is over where
// that was in the midst of a word.
func TestMTAThatGoesAwayAtAnyByte(t *testing.T) {
	for i, f := range session {
		for cut := range f {
			t.Run(fmt.Sprintf("%d bytes into frame %d, %s", cut, i, wire.CmdName(f[4])), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					whole := session[:i]
					s := streamTo(t, append(slices.Clone(whole), f[:cut])...)
					if want := answersTo(whole, answered); s.answers != want {
						t.Errorf("answers %q, want %q", s.answers, want)
					}
					want := 0
					if cut > 0 && i > 0 {
						want = 1
					}
					if n := s.lines(ended); n != want {
						t.Errorf("the log says %d times why it is over, want %d:\n%s", n, want, s.log)
					}
					s.compareEnds(t, whole)
				})
			})
		}
	}
}

// notCommands are what an MTA may send that is no command, and what the log says
// of each where it would be a command's turn.
var notCommands = map[string]struct {
	frame []byte
	says  string
}{
	"garbage":             {[]byte("EHLO mx.example.org\r\n"), `starts with \\"EHLO |first bytes look like SMTP`},
	"oversized frame":     {append([]byte{0x40, 0, 0, 0}, wire.CmdBody), `frame of 1073741824 bytes, want 1 to `},
	"empty frame":         {make([]byte, 4), `frame of 0 bytes, want 1 to `},
	"unknown command":     {frame('z', ""), `'z': not a command of the milter protocol`},
	"a reply":             {frame(wire.RepContinue, ""), `CONTINUE: not a command of the milter protocol`},
	"malformed macros":    {frame(wire.CmdMacros, "Ca"), `MACRO: no NUL at the end`},
	"macros for nothing":  {frame(wire.CmdMacros, ""), `MACRO: no command`},
	"second negotiation":  {hello[0], `NEGOTIATE: out of turn: a second negotiation`},
	"short negotiation":   {frame(wire.CmdNegotiate, "\x00\x00"), `NEGOTIATE: 2 bytes, want at least 12`},
	"malformed connect":   {frame(wire.CmdConnect, "mx"), `CONNECT: no NUL after the host name`},
	"malformed helo":      {frame(wire.CmdHelo, "mx"), `HELO: no NUL after the name`},
	"malformed sender":    {frame(wire.CmdMail, "<a@b>"), `MAIL: no NUL after the address`},
	"malformed recipient": {frame(wire.CmdRcpt, ""), `RCPT: no NUL after the address`},
	"malformed header":    {frame(wire.CmdHeader, "A\x00b"), `HEADER: no NUL after the field's value`},
	"malformed unknown":   {frame(wire.CmdUnknown, "XYZ"), `UNKNOWN: no NUL after the command line`},
}

// outOfTurn is what the log says where it would be another command's turn.
var outOfTurn = regexp.MustCompile(`error="milter protocol: \S+: out of turn: `)

// Whatever is no command, wherever it comes, ends the conversation: what was said
// before is answered, and nothing that comes after it. The log says what it was.
func TestFramesThatAreNoCommandsEndTheConversation(t *testing.T) {
	for name, bad := range notCommands {
		says, said := regexp.MustCompile(`error="milter protocol: .*(`+bad.says+`)`), false
		for i := range len(session) + 1 {
			if name == "second negotiation" && i == 0 {
				continue // it is the first
			}
			t.Run(fmt.Sprintf("%s before frame %d", name, i), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := streamTo(t, slices.Concat(session[:i], [][]byte{bad.frame}, session[i:], letter)...)
					if want := answersTo(session[:i], answered); s.answers != want {
						t.Errorf("answers %q, want %q", s.answers, want)
					}
					if n := s.lines(ended); n != 1 {
						t.Errorf("the log says %d times why it is over, want 1:\n%s", n, s.log)
					}
					switch {
					case says.MatchString(s.log):
						said = true
					case !outOfTurn.MatchString(s.log):
						t.Errorf("the log does not say %q:\n%s", says, s.log)
					}
					s.compareEnds(t, session[:i])
				})
			})
		}
		if !said {
			t.Errorf("%s: the log never says %q", name, says)
		}
	}
}

// turns has for each point of a session the commands that may come there.
var turns = []struct {
	after   string
	said    [][]byte
	allowed string
}{
	{"the negotiation", hello[:1], "CHMUAKQ"},
	{"CONNECT", hello[:3], "HMUAKQ"},
	{"HELO", hello, "HMUAKQ"},
	{"MAIL", slices.Concat(hello, letter[:2]), "HMRTLNBEUAKQ"},
	{"RCPT", slices.Concat(hello, letter[:4]), "HMRTLNBEUAKQ"},
	{"DATA", slices.Concat(hello, letter[:5]), "HMRTLNBEUAKQ"},
	{"HEADER", slices.Concat(hello, letter[:6]), "HMLNBEAKQ"},
	{"the end of the header", slices.Concat(hello, letter[:8]), "HMNBEAKQ"},
	{"BODY", slices.Concat(hello, letter[:9]), "HMNBEAKQ"},
	{"the end of the message", slices.Concat(hello, letter), "HMUAKQ"},
	{"ABORT", slices.Concat(hello, letter[:9], [][]byte{frame(wire.CmdAbort, "")}), "HMUAKQ"},
	{"BODY without a header", slices.Concat(hello, letter[:4], letter[8:9]), "HMNBEAKQ"},
	{"QUIT_NC", slices.Concat(hello, letter, [][]byte{frame(wire.CmdQuitNew, "")}), "CHMUAKQ"},
}

// commands are well-formed ones.
var commands = [][]byte{
	hello[2], hello[4], letter[1], letter[3], letter[4], letter[5], letter[7], letter[8], letter[10],
	frame(wire.CmdUnknown, "XYZ\x00"), frame(wire.CmdAbort, ""), frame(wire.CmdQuitNew, ""), frame(wire.CmdQuit, ""),
}

// A command that may come where it does leaves the session in order: the message
// after it is taken as it is. One out of turn ends the conversation.
func TestEveryCommandAtEveryPoint(t *testing.T) {
	for _, point := range turns {
		for _, cmd := range commands {
			t.Run(wire.CmdName(cmd[4])+" after "+point.after, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := streamTo(t, slices.Concat(point.said, [][]byte{cmd}, letter)...)
					heeded, reasons := slices.Concat(point.said, [][]byte{cmd}, letter), 0
					switch {
					case strings.IndexByte(point.allowed, cmd[4]) < 0:
						heeded, reasons = point.said, 1
						if !strings.Contains(s.log, "out of turn") {
							t.Errorf("the log says\n%s", s.log)
						}
					case cmd[4] == wire.CmdQuit:
						heeded = point.said
					case s.rec.header[len(s.rec.header)-1] != "A:\t1|B:\t2|" || s.rec.body[len(s.rec.body)-1] != "one\r\ntwo\r\n":
						t.Errorf("the next message is %q %q", s.rec.header, s.rec.body)
					}
					if want := answersTo(heeded, answered); s.answers != want {
						t.Errorf("answers %q, want %q", s.answers, want)
					}
					s.compareEnds(t, heeded)
					if n := s.lines(ended); n != reasons {
						t.Errorf("the log says %d times why it is over, want %d:\n%s", n, reasons, s.log)
					}
				})
			})
		}
	}
}

// A message that is broken off, at any frame and in any manner, leaves nothing to
// the one after it.
func TestMessageThatIsBrokenOffLeavesNothing(t *testing.T) {
	abort := frame(wire.CmdAbort, "")
	begun := slices.Concat(hello, letter[:8], [][]byte{large}, letter[8:10])
	for name, breaks := range map[string][][]byte{
		"ABORT": {abort}, "two ABORTs": {abort, abort}, "HELO": {hello[4]}, "two HELOs": {hello[4], hello[4]}, "MAIL": {},
		"another session": {frame(wire.CmdQuitNew, ""), hello[2]},
	} {
		for i := 1; i <= len(begun); i++ {
			t.Run(fmt.Sprintf("%s before frame %d", name, i), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					other := slices.Concat([][]byte{letter[1], letter[3]}, [][]byte{frame(wire.CmdHeader, "C\x00 3\x00"), frame(wire.CmdBody, "other\r\n"), letter[10]})
					all := slices.Concat(begun[:i], breaks, other)
					s := streamTo(t, all...)
					if want := answersTo(all, answered); s.answers != want {
						t.Errorf("answers %q, want %q", s.answers, want)
					}
					if !slices.Equal(s.rec.header, []string{"C: 3|"}) || !slices.Equal(s.rec.body, []string{"other\r\n"}) {
						t.Errorf("the message is %q %q", s.rec.header, s.rec.body)
					}
					if strings.Contains(s.log, "WARN") {
						t.Errorf("the log says\n%s", s.log)
					}
					s.compareEnds(t, all)
				})
			})
		}
	}
}

// An MTA that says all of two messages at once, without waiting for an answer,
// gets the same ones, whatever version it speaks: those that cannot do without
// answers to parts of the content are given them.
func TestPipelinedSessions(t *testing.T) {
	for version := uint32(2); version <= 7; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				offer := wire.Negotiation{Version: version, Actions: 0x3f, Steps: 0x7f}
				if version >= 6 {
					offer.Actions, offer.Steps = wire.AllActions, wire.AllSteps
				}
				frames := slices.Clone(session)
				frames[0] = offer.Append(nil)
				want := answersTo(frames, answered)
				if version < 6 {
					want = answersTo(frames, answeredAll)
				}
				s := streamTo(t, frames...)
				if s.answers != want {
					t.Errorf("answers %q, want %q", s.answers, want)
				}
				if len(s.rec.body) != 2 || s.rec.body[0] != "one\r\ntwo\r\n" || s.rec.header[1] != "A:\t1|B:\t2|" {
					t.Errorf("%q %q", s.rec.header, s.rec.body)
				}
				s.compareEnds(t, frames)
			})
		})
	}
}

// An MTA that stops in the midst of a frame, and goes away much later, holds
// nothing up but itself.
func TestMTAThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, dial, stop := pipeServer(t, 0, milterkit.Slot{Child: &recorder{}})
		silent := dial()
		go silent.Write(slices.Concat(slices.Concat(hello, letter[:8], [][]byte{large, letter[9][:7]})...))
		go bytes.NewBuffer(nil).ReadFrom(silent)
		time.Sleep(time.Hour)
		m := pipeMTA(t, dial(), miltertest.Offer{})
		open(t, m)
		if _, r := deliver(t, m, someHeader, []byte("body\r\n")); r.Final() {
			t.Error(r)
		}
		m.Quit()
		silent.Close()
		synctest.Wait()
		if n := milterkit.MemoryInUse(srv); n != 0 {
			t.Errorf("%d bytes are still in use", n)
		}
		stop()
	})
}

// An MTA that goes away while a child works is noticed when there is an answer to
// give, and the log says that nobody was there to hear it.
func TestMTAThatGoesAwayWhileAChildWorks(t *testing.T) {
	said := slices.Concat(hello, letter)
	for i, f := range said {
		if strings.IndexByte("CHMRTE", f[4]) < 0 {
			continue
		}
		t.Run(wire.CmdName(f[4]), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := &witness{name: "Slow", delay: time.Second}
				r := newStreamRig(t, slow)
				r.say(said[:i]...)
				time.Sleep(time.Minute)
				r.say(f)
				synctest.Wait() // the child works
				r.end(t)
				if want := answersTo(said[:i], answered); string(r.answers) != want {
					t.Errorf("answers %q, want %q", r.answers, want)
				}
				s := streamed{log: r.log.String(), asked: slow.saw}
				if n := s.lines(ended); n != 1 {
					t.Errorf("the log says %d times why it is over, want 1:\n%s", n, s.log)
				}
				s.compareEnds(t, said[:i+1])
				if strings.Contains(s.log, "outcome=accept") {
					t.Errorf("the log tells of an outcome that nobody was told:\n%s", s.log)
				}
			})
		})
	}
}
