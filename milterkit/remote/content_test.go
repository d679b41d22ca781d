package remote_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// count returns how many commands of a kind the filter saw.
func (r *rig) count(cmd byte) (n int) {
	for _, e := range r.filter.Events() {
		if e.Cmd == cmd {
			n++
		}
	}
	return n
}

func TestHugeHeaderOfTinyFieldsDoesNotDeadlock(t *testing.T) {
	t.Parallel()
	const fields = 1 << 16 // of 4 bytes, and as many in each answer, and more than sockets hold
	for name, script := range map[string]Script{"answered": {}, "not answered": {Steps: wire.NoReplyHeader}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, script)
			r.slot.ContentTimeout = time.Minute
			r.envelope()
			r.want("end of message", r.content(slices.Repeat([]string{"A:1"}, fields), "x").Verdict, milterkit.Continue)
			if n := r.count(wire.CmdHeader); n != fields {
				t.Errorf("it saw %d fields, want %d", n, fields)
			}
		})
	}
}

// It answers each field with more than the sockets hold, though it has promised
// not to, and reads no further: that costs its own time and no more.
func TestFilterThatBreaksItsPromiseIsCutOff(t *testing.T) {
	t.Parallel()
	r := newChild(t, "unix", fake(t, func(nc net.Conn, rd *wire.Reader) {
		for {
			f, err := rd.Next()
			switch {
			case err != nil:
				return
			case f.Code == wire.CmdNegotiate:
				nc.Write(wire.Negotiation{Version: 6, Steps: wire.NoReplyHeader}.Append(nil))
			case f.Code == wire.CmdHeader:
				if _, err := nc.Write(bytes.Repeat(Frame(wire.RepContinue, ""), 1<<20)); err != nil {
					return
				}
			case f.Code != wire.CmdMacros:
				nc.Write(Frame(wire.RepContinue, ""))
			}
		}
	}))
	r.slot.ContentTimeout = 200 * time.Millisecond
	r.envelope()
	r.want("end of message", r.content(slices.Repeat([]string{"A: " + strings.Repeat("x", 1000)}, 1000), "x").Verdict, tryAgain)
}

func TestFieldLongerThan64KiBIsSentWhole(t *testing.T) {
	t.Parallel()
	value := " " + strings.Repeat("x", 200_000)
	r := newRig(t, Script{Steps: wire.LeadingSpace}).envelope()
	r.want("end of message", r.content([]string{"A:" + value}).Verdict, milterkit.Continue)
	if !slices.Contains(r.filter.Saw(), "header A:"+value) {
		t.Error("the field did not arrive whole")
	}
}

func TestHeaderAndBodyArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Steps: wire.LeadingSpace}).envelope()
	r.content([]string{"A: \xe4\n\tfold", "A:", "B\xff:1"}, "nul \x00 and \xe4\r", "\n.\r\n")
	r.wantSaw(sawConnect, sawHelo, sawMail, sawRcpt, "data", `header A: \xe4\n\tfold`, "header A:", `header B\xff:1`, "eoh",
		`body "nul \x00 and \xe4\r"`, `body "\n.\r\n"`, "eom", "abort", "quit")
}

func TestMessageWithoutHeaderAndBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{}).envelope()
	r.want("end of message", r.content(nil).Verdict, milterkit.Continue)
	r.wantSaw(sawConnect, sawHelo, sawMail, sawRcpt, "data", "eoh", "eom", "abort", "quit")
}

func TestPiecesOfTheBodyAreCutWhereTheyAreTooLong(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789", 20_000)
	r := newRig(t, Script{}).envelope()
	r.want("end of message", r.content(nil, body).Verdict, milterkit.Continue)
	var want []string
	for rest := body; rest != ""; {
		n := min(len(rest), 65535)
		want = append(want, fmt.Sprintf("body %d bytes, sha256 %.8x", n, sha256.Sum256([]byte(rest[:n]))))
		rest = rest[n:]
	}
	r.wantSaw(lines(sawConnect, sawHelo, sawMail, sawRcpt, "data", "eoh", want, "eom", "abort", "quit")...)
}

func TestSkipOfTheBodyEndsIt(t *testing.T) {
	t.Parallel()
	for lockstep, most := range map[bool]int{false: 64, true: 1} {
		r := newRig(t, on(wire.CmdBody, Answer{Verdict: Skip}))
		r.child.Lockstep = lockstep
		r.envelope()
		r.want("end of message", r.content([]string{"A: 1"}, slices.Repeat([]string{"x"}, 100)...).Verdict, milterkit.Continue)
		if n := r.count(wire.CmdBody); n < 1 || n > most {
			t.Errorf("lockstep %t: it saw %d pieces, want 1 and what was under way", lockstep, n)
		}
		r.walk.Reset()
		r.want("next message", r.message(), milterkit.Continue)
	}
}

// MTAs send nothing of the body after a SKIP: a milter may have put away by then
// what it needs for more.
func TestMilterThatMaySkipTheBodyIsNotSentMoreOfIt(t *testing.T) {
	t.Parallel()
	for rule, pieces := range map[string][]string{
		"short pieces":     slices.Repeat([]string{"x"}, 100),
		"one piece, cut":   {strings.Repeat("0123456789", 20_000)},
		"several, all cut": slices.Repeat([]string{strings.Repeat("0123456789", 10_000)}, 4),
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := on(wire.CmdBody, Answer{Verdict: Skip})
			s.Steps = wire.CanSkip
			r := newRig(t, s).envelope()
			r.want("end of message", r.content([]string{"A: 1"}, pieces...).Verdict, milterkit.Continue)
			if n := r.count(wire.CmdBody); n != 1 {
				t.Errorf("it saw %d pieces, want 1", n)
			}
			r.walk.Reset()
			r.want("next message", r.message(), milterkit.Continue)
		})
	}
}

func TestSkipOfTheHeaderDoesNotSkipTheBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdHeader, Answer{Verdict: Skip})).envelope()
	r.want("end of message", r.content(slices.Repeat([]string{"A: 1"}, 1000), "x").Verdict, milterkit.Continue)
	if n := r.count(wire.CmdHeader); n < 1 || n > 64 {
		t.Errorf("it saw %d fields, want 1 and what was under way", n)
	}
	if n := r.count(wire.CmdBody); n != 1 {
		t.Errorf("it saw %d pieces of the body, want 1", n)
	}
}

// What the milter makes of the fields after the one that it refused is its own
// affair; the connection is not used again.
func TestRefusalAmongPipelinedCommands(t *testing.T) {
	t.Parallel()
	for _, cmd := range []byte{wire.CmdHeader, wire.CmdBody} {
		for _, test := range []struct {
			answer Answer
			want   milterkit.Verdict
		}{
			{Answer{Nth: 2, Message: 1, Text: "550 5.7.1 spam"}, milterkit.Reply(550, "5.7.1 spam")},
			{Answer{Nth: 2, Message: 1, Verdict: Accept}, milterkit.Continue},
			{Answer{Nth: 2, Message: 1, Verdict: Discard}, milterkit.Discard},
		} {
			t.Run(Word(cmd)+" "+test.want.String(), func(t *testing.T) {
				t.Parallel()
				f := &Filter{ScriptFor: func(session int) Script {
					if session == 1 {
						return on(cmd, test.answer)
					}
					return Script{}
				}}
				r := newRigFor(t, f).envelope()
				o := r.content(slices.Repeat([]string{"A: 1"}, 40), "1", "2", "3", "4", "5", "6", "7", "8", "9")
				r.want("first message", o.Verdict, test.want)
				r.walk.Reset()
				r.want("second message", r.message(), milterkit.Continue)
				r.close()
				r.idle(2)
				if n := r.filter.Sessions(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			})
		}
	}
}

// A milter that closes after its verdict, with more on the way to it, has given it
// all the same.
func TestVerdictBeforeTheConnectionIsClosedCounts(t *testing.T) {
	t.Parallel()
	serve := func(nc net.Conn, rd *wire.Reader) {
		for {
			f, err := rd.Next()
			switch {
			case err != nil:
				return
			case f.Code == wire.CmdNegotiate:
				nc.Write(wire.Negotiation{Version: 6}.Append(nil))
			case f.Code == wire.CmdHeader:
				nc.Write(Frame(wire.RepReplyCode, "550 5.7.1 spam\x00"))
				return
			case f.Code != wire.CmdMacros:
				nc.Write(Frame(wire.RepContinue, ""))
			}
		}
	}
	for _, size := range []int{1, 1000, 20_000} {
		for _, lockstep := range []bool{false, true} {
			r := newChild(t, "unix", fake(t, serve))
			r.child.Lockstep = lockstep
			for range 3 {
				r.envelope()
				o := r.content([]string{"A: 1", "B: 2"}, slices.Repeat([]string{strings.Repeat("x", size)}, 100)...)
				r.want(fmt.Sprintf("100 pieces of %d bytes, lockstep %t", size, lockstep), o.Verdict, milterkit.Reply(550, "5.7.1 spam"))
			}
		}
	}
}

// A milter that takes its time for each answer, and for none too much, is not too
// slow for a message.
func TestEachAnswerToTheContentHasItsOwnTime(t *testing.T) {
	t.Parallel()
	for _, lockstep := range []bool{false, true} {
		t.Run(fmt.Sprintf("lockstep %t", lockstep), func(t *testing.T) {
			t.Parallel()
			s := Script{On: map[byte][]Answer{}}
			for _, cmd := range []byte{wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM} {
				s.On[cmd] = []Answer{{Delay: 250 * time.Millisecond}}
			}
			r := newRig(t, s)
			r.child.Lockstep = lockstep
			r.slot.ContentTimeout = 700 * time.Millisecond
			r.envelope()
			r.want("end of message", r.content([]string{"A: 1", "B: 2", "C: 3", "D: 4"}, "x").Verdict, milterkit.Continue)
		})
	}
}

// The answers to the body come while the next pieces are sent.
func TestLateAnswersToTheBodyAreCounted(t *testing.T) {
	t.Parallel()
	s := Script{On: map[byte][]Answer{
		wire.CmdBody: {{Delay: time.Millisecond, Progress: 1}},
		wire.CmdEOM:  {{Edits: []Edit{AddHeader("X", "1")}}},
	}}
	r := newRig(t, s).envelope()
	for range 3 {
		o := r.content([]string{"A: 1"}, slices.Repeat([]string{"x"}, 7)...)
		r.want("end of message", o.Verdict, milterkit.Continue)
		wantLines(t, edits(o), "add header 0 X: 1")
		r.walk.Reset()
		r.mail()
		r.rcpt("<b@example.net>")
	}
}

func TestAllEditsReachTheMTA(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdEOM, Answer{Progress: 1, Verdict: Accept, Edits: []Edit{
		ReplaceBody("one "), ReplaceBody(""), ReplaceBody("two\r\n"),
		ChangeSender("<x@example.org>", "RET=HDRS"), AddRecipient("<c@example.net>"), AddRecipient("<d@example.net>", "NOTIFY=NEVER"),
		DeleteRecipient("<b@example.net>"), Quarantine("why"),
		InsertHeader(0, "I", "1"), ChangeHeader(0, "A", "2"), DeleteHeader(7, "A"),
	}})).envelope()
	o := r.content([]string{"A: 1"}, "x\r\n")
	r.want("end of message", o.Verdict, milterkit.Continue)
	wantLines(t, edits(o), "change sender 0 <x@example.org>:RET=HDRS", "add recipient 0 <c@example.net>:",
		"add recipient 0 <d@example.net>:NOTIFY=NEVER", "delete recipient 0 <b@example.net>:",
		"change header 1 A: 2", "insert header 0 I: 1", "quarantine 0 :why", "replace body 9")
}

func TestIndexBeyondAllReasonIsTheEnd(t *testing.T) {
	t.Parallel()
	raw := binary.BigEndian.AppendUint32(nil, 0xffffffff)
	r := newRig(t, on(wire.CmdEOM, Answer{Raw: append(Frame(wire.RepInsHeader, string(raw)+"X\x001\x00"), Frame(wire.RepContinue, "")...)})).envelope()
	wantLines(t, edits(r.letter()), "add header 0 X: 1")
}

func TestEmptyNewBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdEOM, Answer{Edits: []Edit{ReplaceBody("")}})).envelope()
	wantLines(t, edits(r.letter()), "replace body 0")
}

func TestNewBodyIsWholeAndItsPiecesPutTogether(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	var pieces []Edit
	for i := range 20_000 {
		pieces = append(pieces, ReplaceBody(fmt.Sprintf("line %d\r\n", i)))
	}
	pieces = append(pieces, ReplaceBody(strings.Repeat("long\r\n", 20_000)))
	for _, p := range pieces {
		want.WriteString(p.Body)
	}
	r := newRig(t, on(wire.CmdEOM, Answer{Edits: pieces})).envelope()
	o := r.letter()
	if len(o.Edits) != 1 {
		t.Fatalf("%d edits", len(o.Edits))
	}
	if got := bytes.Join(o.Edits[0].Body, nil); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("the body has %d bytes, want %d, or other ones", len(got), want.Len())
	}
	if n := len(o.Edits[0].Body); n > 40 {
		t.Errorf("it is kept in %d pieces", n)
	}
}

// A new body, or edits, without end must not fill the memory.
func TestTooMuchIsAFailure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, words string
		frame       []byte
		times       int
	}{
		{"body", "its new body is longer than 64 MiB", Frame(wire.RepReplaceBody, strings.Repeat("x", 1<<20-1)), 66},
		{"edits", "it asks for more than 4 MiB of changes", Frame(wire.RepAddRcpt, "<"+strings.Repeat("x", 1<<19)+">\x00"), 9},
		{"small edits", "it asks for more than 4 MiB of changes", bytes.Repeat(Frame(wire.RepAddRcpt, "x\x00"), 1000), 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newChild(t, "unix", fake(t, func(nc net.Conn, rd *wire.Reader) {
				for {
					f, err := rd.Next()
					switch {
					case err != nil:
						return
					case f.Code == wire.CmdNegotiate:
						nc.Write(wire.Negotiation{Version: 6}.Append(nil))
					case f.Code == wire.CmdEOM:
						for range test.times {
							if _, err := nc.Write(test.frame); err != nil {
								return
							}
						}
						nc.Write(Frame(wire.RepContinue, ""))
					case f.Code != wire.CmdMacros && f.Code != wire.CmdAbort:
						nc.Write(Frame(wire.RepContinue, ""))
					}
				}
			}))
			r.slot.ContentTimeout = time.Minute
			r.envelope()
			o := r.letter()
			r.want("end of message", o.Verdict, tryAgain)
			if len(o.Edits) > 0 {
				t.Errorf("%d edits", len(o.Edits))
			}
			r.wantLog(test.words)
		})
	}
}

func TestEditsBeforeARefusalDoNotCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, on(wire.CmdEOM, Answer{Edits: []Edit{AddHeader("X", "1"), ReplaceBody("half")}, Verdict: Reject})).envelope()
	o := r.letter()
	r.want("end of message", o.Verdict, milterkit.Reject(""))
	wantLines(t, edits(o))
}

func TestEditThatTheMTADoesNotOfferIsAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t, Script{Actions: wire.ActAddHeader, On: map[byte][]Answer{wire.CmdEOM: {{Edits: []Edit{ReplaceBody("x")}}}}})
	r.acts = wire.ActAddHeader
	r.envelope()
	r.want("end of message", r.letter().Verdict, tryAgain)
	r.wantLog("replace body: the MTA does not offer that action")
}

// Source: Postfix, milter8_event, takes it at any stage; it is not final.
func TestEarlyQuarantineHoldsTheMessage(t *testing.T) {
	t.Parallel()
	for _, cmd := range []byte{wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM} {
		for _, verdict := range []Kind{Continue, Accept} {
			t.Run(fmt.Sprint(Word(cmd), " ", verdict), func(t *testing.T) {
				t.Parallel()
				r := newRigFor(t, &Filter{ScriptFor: func(session int) Script {
					if session > 1 {
						return Script{}
					}
					return on(cmd, Answer{Message: 1, Edits: []Edit{Quarantine("why")}, Verdict: verdict})
				}}).envelope()
				o := r.letter()
				r.want("end of message", o.Verdict, milterkit.Continue)
				wantLines(t, edits(o), "quarantine 0 :why")
				r.walk.Reset()
				r.mail()
				r.rcpt("<b@example.net>")
				wantLines(t, edits(r.letter()))
			})
		}
	}
}
