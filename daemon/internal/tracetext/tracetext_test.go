package tracetext

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

var update = flag.Bool("update", false, "write the expected texts anew")

const ms = time.Millisecond

func text(s string) *string { return &s }

// base is a message that greylist, signer and spam have seen.
func base() *record.Message {
	return &record.Message{
		Session: 1795700000012, QueueID: "4F3A21C0B2", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Took: 1240 * ms,
		Client: "mx.example.org", Addr: "192.0.2.1", Helo: "mx.example.org", Sender: text("alice@example.org"),
		To: []string{"bob@example.net", "carol@example.net"}, Rcpts: 2, ID: "1@example.org", Size: 12_345, Outcome: "accept", Edits: 1,
		Milters: []record.Milter{
			{Name: "greylist", Verdict: "continue", Took: 2 * ms},
			{Name: "signer", Verdict: "continue", Edits: 1, Changes: []record.Change{{Op: "insert header", Index: 1, Name: "DKIM-Signature", Value: " v=1;\n\ta=rsa-sha256"}}, Took: 12 * ms},
			{Name: "spam", Verdict: "continue", Took: 1100 * ms},
		},
		Steps: []record.Step{
			{Milter: "greylist", At: "mail", Condition: "holds", After: 0, Took: ms / 10},
			{Milter: "greylist", At: "rcpt", To: "bob@example.net", Verdict: "continue", After: 5 * ms, Took: ms},
			{Milter: "greylist", At: "rcpt", To: "carol@example.net", Verdict: "continue", After: 10 * ms, Took: ms},
			{Milter: "signer", At: "end of message", Verdict: "continue", After: 100 * ms, Took: 12 * ms},
			{Milter: "spam", At: "body", Verdict: "continue", After: 112 * ms, Took: 5 * ms, Calls: 3},
			{Milter: "spam", At: "end of message", Verdict: "continue", After: 130 * ms, Took: 1095 * ms},
		},
	}
}

var chain = []Milter{{"greylist", "s25r && !authenticated", "accept"}, {"signer", "", "tempfail"}, {"spam", "", "accept"}, {"archive", "", "tempfail"}}

// cases are messages of which each has another outcome.
var cases = map[string]func(*record.Message){
	"accepted": func(*record.Message) {},
	"rejected": func(m *record.Message) {
		m.Outcome, m.By, m.At, m.Code, m.Reply, m.Edits = "reject", "spam", "end of message", 554, "5.7.1 Spam", 0
		m.Milters[2].Verdict, m.Milters[2].At, m.Milters[2].Code, m.Milters[2].Reply = "reject", m.At, m.Code, m.Reply
		m.Steps[5].Verdict, m.Steps[5].Code, m.Steps[5].Reply = "reject", m.Code, m.Reply
	},
	"failed": func(m *record.Message) {
		m.Outcome, m.By, m.At, m.Code, m.Reply, m.Edits = "tempfail", "signer", "mail", 451, "4.7.1 Service unavailable - try again later", 0
		m.Milters = []record.Milter{{Name: "signer", Verdict: "fail", Error: "dial unix /run/signer.sock: no such file", At: "mail"}}
		m.Steps, m.To, m.Rcpts, m.Size, m.ID = nil, nil, 0, 0, ""
	},
	"greylisted": func(m *record.Message) {
		m.Outcome, m.Refused, m.To, m.Rcpts, m.QueueID, m.Milters, m.Edits, m.Size, m.ID = "aborted", 1, nil, 0, "", m.Milters[:1], 0, 0, ""
		m.Steps = m.Steps[:2]
		m.Steps[1].Verdict, m.Steps[1].Code, m.Steps[1].Reply = "tempfail", 451, "4.7.1 Greylisted, come again in 10m"
	},
	"one recipient refused": func(m *record.Message) {
		m.Refused, m.To, m.Rcpts = 1, m.To[:1], 1
		m.Steps[2].Verdict, m.Steps[2].Code, m.Steps[2].Reply = "reject", 550, "5.1.1 No such user"
	},
	"quarantined": func(m *record.Message) {
		m.Outcome = "quarantine"
		m.Milters[2].Edits, m.Milters[2].Changes = 1, []record.Change{{Op: "quarantine", Value: "looks odd"}}
	},
	"a shadow and a failure": func(m *record.Message) {
		m.Milters[1].Shadow, m.Edits = true, 0
		m.Milters[2].Verdict, m.Milters[2].Error, m.Milters[2].At = "fail", "no answer within 1s", "end of message"
		m.Steps[5].Verdict, m.Steps[5].Error = "fail", "no answer within 1s"
		m.Milters = m.Milters[1:]
		m.Steps[0] = record.Step{Milter: "greylist", At: "connect", Condition: "does not hold", After: -ms, Took: 20 * ms}
		m.Steps = append(m.Steps[:1], m.Steps[3:]...)
	},
	"a session refused": func(m *record.Message) {
		*m = record.Message{Session: m.Session, Time: m.Time, Client: "evil\x1b[31m", Addr: m.Addr, Helo: "x\ny", Outcome: "reject", Code: 550, Reply: "5.7.1 no\n5.7.1 never",
			By: "spam", At: "helo", Steps: []record.Step{{Milter: "spam", At: "helo", Verdict: "reject", Code: 550, Reply: "5.7.1 no\n5.7.1 never", After: 0, Took: ms}}}
	},
	"too long": func(m *record.Message) {
		m.Outcome, m.By, m.At, m.Code, m.Reply, m.Edits = "reject", "milterkit", "header", 552, "5.3.4 Message header is longer than 1048576 bytes", 0
	},
}

// A message is printed so that it can be read; with Explain it is said why.
func TestPrint(t *testing.T) {
	for name, change := range cases {
		var b strings.Builder
		for _, explain := range []bool{false, true} {
			m := base()
			change(m)
			o := Options{Explain: explain, Milters: chain}
			if !explain {
				b.WriteString(Line(m, o) + "\n\n")
			}
			if err := Print(&b, m, o); err != nil {
				t.Fatal(err)
			}
			b.WriteString("\n")
		}
		got := b.String()
		file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s%v", name, got, want, err)
		}
		if strings.ContainsAny(got, "\x1b\r") {
			t.Errorf("%s: what a client has said gets to the terminal", name)
		}
	}
}

// Whatever strangers say, a terminal is not told what to do, and no line is forged.
func TestNothingOfStrangersGetsToTheTerminal(t *testing.T) {
	const evil = "x\x1b[31m\u009b31m\u202e\r\nforged\x00"
	m := base()
	m.QueueID, m.Client, m.Addr, m.Helo, m.Auth, m.Sender, m.To, m.ID, m.Reply = evil, evil, evil, evil, evil, text(evil), []string{evil}, evil, evil
	m.Code, m.Refused = 550, 2
	m.Milters[1].Changes = []record.Change{{Op: "add header", Name: evil, Value: evil}, {Op: "add recipient", Name: evil, Value: evil}, {Op: "quarantine", Value: evil}}
	for i := range m.Milters {
		m.Milters[i].Reply = evil
	}
	m.Milters[2].Error = evil
	for i := range m.Steps {
		m.Steps[i].To, m.Steps[i].Reply, m.Steps[i].Code, m.Steps[i].Verdict = evil, evil, 550, "reject"
	}
	m.Steps[4].Error, m.Steps[5].Condition, m.Steps[5].Error = evil, "fails", evil
	shadow := *m
	shadow.Milters = append([]record.Milter{{Name: "s", Verdict: "fail", Error: evil, Reply: evil, Shadow: true}}, m.Milters...)
	for _, m := range []*record.Message{m, &shadow} {
		for _, outcome := range []string{"accept", "reject", "tempfail", "discard", "quarantine", "aborted"} {
			for _, by := range []string{"", "spam", "signer", "milterkit", "max_sessions"} {
				m.Outcome, m.By, m.At = outcome, by, "end of message"
				var b strings.Builder
				if err := Print(&b, m, Options{Explain: true, Milters: append(chain, Milter{Name: "spam", When: evil})}); err != nil {
					t.Fatal(err)
				}
				b.WriteString(Line(m, Options{}))
				if got := b.String(); strings.ContainsAny(got, "\x1b\u009b\u202e\r\x00") || strings.Contains(got, "\nforged") {
					t.Fatalf("%q by %q: %q", outcome, by, got)
				}
			}
		}
	}
}

// The reason that is given is the one there was.
func TestWhy(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*record.Message)
		says    string
		saysNot string
	}{
		"no place": {func(m *record.Message) {
			m.Outcome, m.By, m.At, m.Code, m.Reply = "tempfail", "max_sessions", "mail", 451, "4.3.2 Too busy"
			m.Milters, m.Steps = []record.Milter{{Name: "max_sessions", Verdict: "tempfail", At: "mail"}}, nil
		}, "All places for sessions were taken", "said"},
		"one that accepts stands before it": {func(m *record.Message) {
			cases["rejected"](m)
			m.Milters[0].Verdict, m.Milters[0].At = "accept", "mail"
		}, "says neither continue nor accept decides", ""},
		"discard without a message": {func(m *record.Message) { m.Milters[0].Verdict, m.Milters[0].At = "discard", "helo" }, "greylist said discard at helo, where there is no message yet", "stands before"},
		"at the same time": {func(m *record.Message) {
			cases["rejected"](m)
			m.Steps = append(m.Steps, record.Step{Milter: "signer", At: "end of message", Verdict: "tempfail", Code: 451, Reply: "4.7.1 later"})
		}, "signer said tempfail (451 4.7.1 later) at end of message, which does not count: spam stands before it.", ""},
		"the action has changed since": {func(m *record.Message) {
			m.Outcome, m.By, m.At = "reject", "spam", "end of message"
			m.Milters[2].Verdict, m.Milters[2].Error = "fail", "gone"
		}, "that of spam is reject.", "accept"},
		"no quarantine to be had": {func(m *record.Message) {
			m.Outcome, m.By, m.At = "tempfail", "holder", "end of message"
			m.Milters[2] = record.Milter{Name: "holder", Verdict: "fail", Error: "gone"}
		}, "quarantine, which this mail server does not offer", ""},
		"held by a failure": {func(m *record.Message) {
			m.Outcome = "quarantine"
			m.Milters[2] = record.Milter{Name: "holder", Verdict: "fail", Error: "gone", At: "end of message"}
		}, "Its default_action is quarantine: the message went on without it, to be held.", ""},
		"passed over": {func(m *record.Message) {
			cases["rejected"](m)
			m.Milters[0].Error, m.Milters[0].Verdict = "gone", "fail"
		}, "Its default_action is accept: the message went on without it.", ""},
		"a recipient and a failure": {func(m *record.Message) {
			m.Outcome, m.Refused, m.To, m.Rcpts = "aborted", 1, nil, 0
			m.Milters[0].Error, m.Milters[0].Verdict, m.Milters[0].At = "gone", "fail", "rcpt"
			m.Steps[1].Error, m.Steps[1].Verdict = "gone", "fail"
		}, "greylist failed when it was asked about the recipient", "greylist failed at rcpt"},
	} {
		m := base()
		c.change(m)
		text := strings.Join(Why(m, Options{Milters: append(chain, Milter{"holder", "", "quarantine"})}), "\n")
		if !strings.Contains(text, c.says) || c.saysNot != "" && strings.Contains(text, c.saysNot) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// A client without a name, in whose place there is its address, stands as in the log of
// the mail server.
func TestClientWithoutAName(t *testing.T) {
	for _, c := range [][3]string{{"mx.example.org", "192.0.2.1", "mx.example.org[192.0.2.1]"}, {"[192.0.2.1]", "192.0.2.1", "unknown[192.0.2.1]"}, {"[IPv6:2001:db8::1]", "2001:db8::1", "unknown[2001:db8::1]"}} {
		if got := host(&record.Message{Client: c[0], Addr: c[1]}); got != c[2] {
			t.Error(got)
		}
	}
}

// What is beyond the bounds of a record, and odd times, break nothing.
func TestOddRecordsArePrinted(t *testing.T) {
	for _, m := range []*record.Message{
		{}, {Sender: text(""), Outcome: "new"},
		{Outcome: "accept", Took: 1, Steps: []record.Step{{After: -5, Took: 1 << 62}, {After: 1 << 62, Took: 1}, {At: "rcpt", Verdict: "fail", Error: "x"}}, MoreStep: 7, Refused: 5,
			Milters: []record.Milter{{Edits: 3}}},
	} {
		if err := Print(new(strings.Builder), m, Options{Explain: true, Color: true}); err != nil {
			t.Error(err)
		}
	}
}
