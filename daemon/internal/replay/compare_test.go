package replay

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// accepted is a message with one more field, which a chain has taken.
func accepted(field, value string) *Result {
	m := miltertest.ParseMessage([]byte("Subject: x\n\ntext\n"))
	m.Fields = append(m.Fields, miltertest.Field{Name: field, Value: value})
	return &Result{Record: &record.Message{Outcome: "accept"}, Outcome: &miltertest.Outcome{Message: m, Envelope: miltertest.Envelope{From: "<a>", To: []string{"<b>"}}}}
}

// What differs in when it was made is no difference; all else is.
func TestWhatIsMasked(t *testing.T) {
	for _, c := range []struct {
		field, a, b string
		same        bool
	}{
		{"DKIM-Signature", " v=1; d=x.org; t=1700000000; x=1700009999; bh=abc=; b=qwer\n ty=", " v=1; d=x.org; t=1700000001; x=1700009990; bh=abc=; b=asdf", true},
		{"DKIM-Signature", " v=1; d=x.org; bh=abc=; b=q", " v=1; d=x.org; bh=other=; b=q", false},
		{"DKIM-Signature", " v=1; d=x.org; b=q", " v=1; d=y.org; b=q", false},
		{"arc-seal", " i=1; cv=none; t=1; b=a", " i=1; cv=none; t=2; b=b", true},
		{"X-Scanned", " on Thu, 26 Nov 2026 10:00:00 +0000 (UTC)", " on Fri, 27 Nov 2026 1:00:00 +0000", false}, // no such hour
		{"X-Scanned", " on Thu, 26 Nov 2026 10:00:00 +0000 (UTC)", " on Fri, 27 Nov 2026 11:00:00 +0100", true},
		{"X-Scanned", " Thu Nov 26 10:00:00 2026", " Fri Nov  6 10:00:00 UTC 2026", true},
		{"X-Scanned", " at 2026-11-26T10:00:00Z in 12 ms", " at 2026-11-27 10:00:00.123+01:00 in 3.5s", true},
		{"X-Score", " 5", " 6", false},
		{"X-Number", " id7", " id8", true}, // by a mask of the test's own
	} {
		masks := Masks{regexp.MustCompile(`id\d`)}
		if got := masks.Compare(accepted(c.field, c.a), accepted(c.field, c.b)); (len(got) == 0) != c.same {
			t.Errorf("%s: %q and %q: %v", c.field, c.a, c.b, got)
		}
	}
}

// Compared is what somebody outside would notice. Of a message that one chain does not
// take there is no more to compare.
func TestWhatIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Result)
		want   []string
	}{
		"nothing":    {func(*Result) {}, nil},
		"sender":     {func(r *Result) { r.Outcome.Envelope.From = "<c>" }, []string{"from"}},
		"recipients": {func(r *Result) { r.Outcome.Envelope.To = []string{"<b>", "<c>"} }, []string{"to"}},
		"refused":    {func(r *Result) { r.Outcome.Refused = []string{"<d>"} }, []string{"refused recipients"}},
		"refused for another reason": {func(r *Result) {
			r.Record.Refused, r.Outcome.Refused = 1, []string{"<d>"}
			r.Record.Steps = []record.Step{{Milter: "g", At: "rcpt", To: "d", Verdict: "reject", Code: 550, Reply: "5.1.1 no"}}
		}, []string{"refused recipients"}},
		"addresses that look like times": {func(r *Result) { r.Outcome.Envelope.To, r.Outcome.Refused = []string{"<11s@x>"}, []string{"<12s@x>"} }, []string{"refused recipients", "to"}},
		"body":                           {func(r *Result) { r.Outcome.Message.Body = []byte("other\r\n") }, []string{"message"}},
		"edits":                          {func(r *Result) { r.Outcome.Edits = []miltertest.Edit{miltertest.AddHeader("X", "y")} }, nil},
		"time":                           {func(r *Result) { r.Record.Took++ }, nil},
		"held":                           {func(r *Result) { r.Record.Outcome, r.Outcome.Held, r.Outcome.Reason = "quarantine", true, "odd" }, []string{"outcome", "held for"}},
		"put off": {func(r *Result) {
			r.Record.Outcome, r.Record.Code, r.Record.Reply, r.Record.By, r.Record.At = "tempfail", 451, "4.7.1 try again in 599 seconds", "g", "rcpt"
			r.Outcome.Result, r.Outcome.Message = miltertest.TempFailed, nil
		}, []string{"outcome", "reply", "decided by"}},
	} {
		a, b := accepted("X-A", " 1"), accepted("X-A", " 1")
		switch name {
		case "refused for another reason":
			a.Record.Refused, a.Outcome.Refused = 1, []string{"<d>"}
			a.Record.Steps = []record.Step{{Milter: "g", At: "rcpt", To: "d", Verdict: "tempfail", Code: 450, Reply: "4.1.1 no"}}
		case "addresses that look like times":
			a.Outcome.Envelope.To, a.Outcome.Refused = []string{"<10s@x>"}, []string{"<10s@x>"}
		}
		c.change(b)
		var got []string
		for _, d := range (Masks{}).Compare(a, b) {
			got = append(got, d.What)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
