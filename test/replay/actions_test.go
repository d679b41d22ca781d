package replay

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A filter whose recipients say what it does was recorded behind both mail
// servers. What a mail server is told through milterkit means there what the
// client was told without.
func TestRecordedRepliesAreWhatTheVerdictsMean(t *testing.T) {
	for name, m := range map[string]manners{"actions-postfix.smtp": postfix, "actions-sendmail.smtp": sendmail} {
		list := readDialogue(t, name)
		if len(list) != 23 {
			t.Errorf("%s has %d scenarios, want 23", name, len(list))
		}
		for _, s := range list {
			t.Run(m.name+" "+s.helo+" "+s.from+" "+s.to[0], func(t *testing.T) {
				t.Parallel()
				dir := temp(t)
				f, addr := start(t, dir, "filter", s.script())
				alone := s.play(t, m, addr)
				idle(t, f)
				child := &remote.Milter{Network: "unix", Addr: addr}
				t.Cleanup(func() { child.Close() })
				_, behind := serve(t, dir, slog.New(slog.DiscardHandler), []milterkit.Slot{{Child: child}})
				through := s.play(t, m, behind)
				if diff := cmp.Diff(mask(s.exchanges), m.dialogue(s, through)); diff != "" {
					t.Errorf("the client is told -recorded +through milterkit\n%s", diff)
				}
				if diff := cmp.Diff(alone.ending(m), through.ending(m)); diff != "" {
					t.Errorf("the message's end -without +with milterkit\n%s", diff)
				}
			})
		}
	}
}

// script is what the recorded filter did, which was written in Python: at RCPT
// what the recipient's name says, and at the end what those say that were taken.
func (s *scenario) script() miltertest.Script {
	all := wire.AllActions &^ (wire.ActAddRcptArgs | wire.ActSetMacros)
	end := miltertest.Answer{Verdict: miltertest.Accept}
	on := map[byte][]miltertest.Answer{
		wire.CmdHelo: {{If: "helo-reject", Text: "550 5.7.1 helo refused"}},
		wire.CmdMail: {
			{If: "<mail-reject", Verdict: miltertest.Reject},
			{If: "<mail-discard", Verdict: miltertest.Discard},
			{If: "<mail-accept", Verdict: miltertest.Accept},
		},
		wire.CmdRcpt: {
			{If: "<rcpt-reject@", Verdict: miltertest.Reject},
			{If: "<rcpt-reply@", Text: "550-5.1.1 no such\r\n550 5.1.1 user here"},
			{If: "<rcpt-tempfail@", Verdict: miltertest.TempFail},
			{If: "<rcpt-451@", Text: "451 4.7.1 Greylisted, try again in 300 s"},
			{If: "<rcpt-421@", Text: "421 4.7.0 closing"},
			{If: "<rcpt-discard@", Verdict: miltertest.Discard},
			{If: "<rcpt-accept@", Verdict: miltertest.Accept},
		},
	}
	for _, to := range s.to {
		switch name, _, _ := strings.Cut(to, "@"); name {
		case "eoh-reject":
			on[wire.CmdEOH] = []miltertest.Answer{{Verdict: miltertest.Reject}}
		case "eom-reject":
			end = miltertest.Answer{Verdict: miltertest.Reject}
		case "eom-reply":
			end = miltertest.Answer{Text: "554-5.7.1 first line\r\n554 5.7.1 second line"}
		case "eom-tempfail":
			end = miltertest.Answer{Verdict: miltertest.TempFail}
		case "eom-421":
			end = miltertest.Answer{Text: "421 4.3.2 come back"}
		case "eom-discard":
			end = miltertest.Answer{Verdict: miltertest.Discard}
		default:
			end.Edits = append(end.Edits, edits[name]...)
		}
	}
	on[wire.CmdEOM] = []miltertest.Answer{end}
	return miltertest.Script{Actions: all, On: on}
}

var edits = map[string][]miltertest.Edit{
	"eom-quarantine": {miltertest.Quarantine("held by test")},
	"eom-addrcpt":    {miltertest.AddRecipient("<carol@example.test>")},
	"eom-delrcpt":    {miltertest.DeleteRecipient("<eom-delrcpt@example.test>")},
	"eom-chgfrom":    {miltertest.ChangeSender("<newsender@example.org>")},
	"eom-body":       {miltertest.ReplaceBody("replaced body\r\n")},
	"eom-hdr": {
		miltertest.AddHeader("X-Added", "end"), miltertest.InsertHeader(0, "X-Ins-0", "at 0"), miltertest.InsertHeader(3, "X-Ins-3", "at 3"),
		miltertest.ChangeHeader(1, "Subject", "changed"), miltertest.DeleteHeader(1, "Message-ID"),
	},
}

// A play is what came of a scenario's session with a filter.
type play struct {
	refused *miltertest.Reply // of the session
	message *miltertest.Message
	outcome *miltertest.Outcome
}

// play plays the session to the filter at a socket.
func (s *scenario) play(t *testing.T, m manners, addr string) play {
	t.Helper()
	mta, err := miltertest.Dial(t.Context(), "unix", addr, miltertest.Offer{Sendmail: m.name == "Sendmail", Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := &miltertest.Player{MTA: mta, Client: miltertest.Client{Host: "localhost", Family: wire.FamilyInet, Addr: "127.0.0.1", Port: 2525,
		Helo: s.helo, MTA: "mx.example.test"}}
	steps, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	var result play
	if last := steps[len(steps)-1].Reply; last.Refused() {
		result.refused = &last
	}
	mail := miltertest.Mail{From: "<" + s.from + ">", QueueID: "4B2", Message: miltertest.ParseMessage([]byte(
		"From: Alice <alice@example.org>\nTo: Bob <bob@example.test>\nSubject: figures\nMessage-ID: <clean-1@example.org>\n\nHello Bob\n"))}
	mail.Message.AddReceived(" from localhost")
	for _, to := range s.to {
		mail.To = append(mail.To, miltertest.Recipient{Addr: "<" + to + ">"})
	}
	result.message = mail.Message
	if result.outcome, err = p.Mail(mail); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return result
}

// ending is what became of the message, in lines.
func (p play) ending(m manners) []string {
	o := p.outcome
	list := []string{o.Result.String(), o.Reply, strings.Join(o.Refused, " ")}
	if o.Result == miltertest.Accepted {
		list = append(list, fmt.Sprint("held ", o.Held, o.Reason), o.Envelope.From, strings.Join(o.Envelope.To, " "), m.apply(p.message, o.Edits).String())
	}
	return list
}

// mask makes the ids by which mail servers call messages they take the same.
func mask(list []exchange) []exchange {
	for _, x := range list {
		for i, l := range x.Reply {
			l = postfixID.ReplaceAllString(l, "${1}4B2")
			x.Reply[i] = sendmailID.ReplaceAllString(l, "${1}4B2${2}")
		}
	}
	return list
}

var (
	postfixID  = regexp.MustCompile(`^(250 2\.0\.0 Ok: queued as )[0-9A-F]+$`)
	sendmailID = regexp.MustCompile(`^(250 2\.0\.0 )\w+( Message accepted for delivery)$`)
)
