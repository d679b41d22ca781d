package authres

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// What filters write is read: their comments, quotes, white space and versions.
func TestParse(t *testing.T) {
	spf := func(value, from string) Result {
		return Result{Method: "spf", Value: value, Props: []Property{{"smtp", "mailfrom", from}}}
	}
	for _, c := range []struct {
		value, id string
		want      []Result
	}{
		{" mx.example.org; none", "mx.example.org", nil},
		{" mx.example.org 1; spf=pass smtp.mailfrom=example.org", "mx.example.org", []Result{spf("pass", "example.org")}},
		{` "mx.example.org"; SPF = Pass smtp . mailfrom = "a b"@example.org`, "mx.example.org", []Result{{Method: "spf", Value: "pass"}}},
		{" mx (a; (nested) \\) comment) ;spf=softfail (=x; y)\n\tsmtp.mailfrom =example.org", "mx", []Result{
			{Method: "spf", Value: "softfail", Comment: "=x; y", Props: []Property{{"smtp", "mailfrom", "example.org"}}}}},
		{`mx; dkim=fail reason="a=b; \"c\"" header.d=x;spf/1=pass smtp.mailfrom=SRS0=h=t=d=u@x`, "mx", []Result{
			{Method: "dkim", Value: "fail", Reason: `a=b; "c"`, Props: []Property{{"header", "d", "x"}}}, spf("pass", "SRS0=h=t=d=u@x")}},
		{`mx; spf=pass smtp.mailfrom="x dkim=pass"@example.org`, "mx", []Result{spf("pass", "x dkim=pass@example.org")}},
		{"mx; nonsense; =pass; dkim; spf=pass smtp.mailfrom=x;", "mx", []Result{spf("pass", "x")}},
		// OpenDKIM 2.11
		{" mx.example.test;\n\tdkim=pass (2048-bit key; unprotected) header.d=example.org header.i=@example.org header.a=rsa-sha256", "mx.example.test",
			[]Result{{Method: "dkim", Value: "pass", Comment: "2048-bit key; unprotected", Props: []Property{
				{"header", "d", "example.org"}, {"header", "i", "@example.org"}, {"header", "a", "rsa-sha256"}}}}},
	} {
		id, got, err := Parse(c.value)
		if err != nil || id != c.id || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q is %q, %+v, %v, want %+v", c.value, id, got, err, c.want)
		}
	}
	for _, bad := range []string{"", " ; spf=pass", "mx; spf=pass (x", `mx; spf="pass`} {
		if _, got, err := Parse(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

// What stands in the text of others cannot end a line, a comment or a quoted string,
// and long results are folded.
func TestFormat(t *testing.T) {
	got := Format("mx.example.org", []Result{
		{Method: "spf", Value: "fail", Comment: "no\r\n(way)\\", Props: []Property{{"smtp", "mailfrom", "example.org"}, {"smtp", "helo", ""}}},
		{Method: "dkim", Value: "fail", Reason: `a "b"`, Props: []Property{{"header", "i", `x;dkim=pass@example.org`},
			{"header", "d", "a-very-long-name-for-a-domain.example.org"}, {"header", "s", "sel ector"}}},
	})
	want := "mx.example.org;\n\tspf=fail (no???way??) smtp.mailfrom=example.org;\n\tdkim=fail reason=\"a \\\"b\\\"\" header.i=\"x;dkim=pass@example.org\"\n" +
		"\theader.d=a-very-long-name-for-a-domain.example.org\n\theader.s=\"sel ector\""
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	long := Result{Method: "spf", Value: "fail", Comment: strings.Repeat("x", 1<<20), Reason: strings.Repeat("y", 1<<20)}
	if got := Format("mx", []Result{long}); len(got) > 2*maxText+100 {
		t.Errorf("a long text becomes %d bytes", len(got))
	}
	if got := Format("mx", nil); got != "mx; none" {
		t.Errorf("got %q", got)
	}
}

// What claims to be of our name and came with the message goes, however it is
// written; what others say stays, and what our children have added.
func TestRemoveForged(t *testing.T) {
	came := []struct {
		value string
		stays bool
	}{
		{"mx.example.org; dkim=pass header.d=bank.example", false},
		{"other.example; dkim=pass", true},
		{"MX.Example.ORG. 1; dkim=pass", false},
		{"\"mx.example.org\"; dkim=pass", false},
		{"(x) mx.example.org (y) ; dkim=pass", false},
		{"mx.example.org/1; dkim=pass", false},
		{"mx.example.org", false},
		{"mx.example.org (; dkim=pass", false},
		{"\"mx.example.org; dkim=pass", false},
		{"other.example (mx.example.org", false},
		{"mx.example.org.evil.example; dkim=pass", true},
		{"evil.example; x=y mx.example.org", true},
		{"", true},
		{"mx.(x)example.org; dkim=pass", false},
		{"mx.example.org\x0b; dkim=pass", false},
		{"mx.exa\x00mple.org; dkim=pass", false},
		{"mx.example.org\xa0; dkim=pass", false},
		{"mx.example.org\u00a0; dkim=pass", false},
		{"mx\u200b.example.org; dkim=pass", false},
		{"mx\\.example.org; dkim=pass", false},
		{"<mx.example.org>; dkim=pass", false},
		{"mx.example.org, x; dkim=pass", false},
		{"mx.example.org: dkim=pass", false},
		{"mx.example.org=1; dkim=pass", false},
		{"; (x) ; mx.example.org; dkim=pass", false},
		{"=?utf-8?q?mx=2Eexample=2Eorg?=; dkim=pass", false},
		{"=?utf-8?q?mx.example.org=3B?= dkim=pass", false},
	}
	adds := milterkit.OnMessage("adds", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.InsertHeader(0, FieldName, Format("mx.example.org", []Result{{Method: "spf", Value: "pass"}}))
		return milterkit.Continue
	})
	removes := milterkit.OnMessage("removes", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		if got := Added(m, "mx.example.org", "spf"); len(got) != 1 || got[0].Value != "pass" {
			t.Errorf("children before have said %+v", got)
		}
		if got := Added(m, "mx.example.org", "dkim"); got != nil {
			t.Errorf("forged %+v is believed", got)
		}
		RemoveForged(m, e, "MX.example.org")
		return milterkit.Continue
	})
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: adds}, milterkit.Slot{Child: removes})
	if err != nil {
		t.Fatal(err)
	}
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(t.Context(), milterkit.NewAddress("<a@b>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<c@d>"))
	var text, want strings.Builder
	fmt.Fprintf(&want, "Authentication-Results: mx.example.org;\r\n\tspf=pass\r\n")
	for _, c := range came {
		line := fmt.Sprintf("Authentication-results: %s\r\n", c.value)
		text.WriteString(line)
		if c.stays {
			want.WriteString(line)
		}
	}
	var got strings.Builder
	if err := w.Message(t.Context(), []byte(text.String()+"\r\nbody\r\n")).WriteMessage(&got, ""); err != nil {
		t.Fatal(err)
	}
	if header, _, _ := strings.Cut(got.String(), "\r\n\r\n"); header+"\r\n" != want.String() {
		t.Errorf("got\n%s\nwant\n%s", header, want.String())
	}
}

// A field whose name looks like ours, but for a letter that is not ASCII, is another
// one, and does not hide those behind it.
func TestForgedBehindAnotherName(t *testing.T) {
	removes := milterkit.OnMessage("removes", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		RemoveForged(m, e, "mx.example.org")
		return milterkit.Continue
	})
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: removes})
	if err != nil {
		t.Fatal(err)
	}
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(t.Context(), milterkit.NewAddress("<a@b>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<c@d>"))
	var got strings.Builder
	text := "Authentication-Re\u017fults: mx.example.org; x=y\r\nAuthentication-Results: mx.example.org; dkim=pass\r\n\r\nbody\r\n"
	if err := w.Message(t.Context(), []byte(text)).WriteMessage(&got, ""); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.String(), "dkim=pass") {
		t.Errorf("what is forged stays:\n%s", &got)
	}
}

// The name is the configured one, or the MTA's.
func TestID(t *testing.T) {
	child := milterkit.NewChild("id", func() milterkit.Hooks {
		return milterkit.Hooks{Helo: func(_ context.Context, s *milterkit.Session) milterkit.Verdict {
			return milterkit.Reject(ID("", s) + " " + ID("mine", s))
		}}
	})
	d, _ := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Macros(milterkit.StageConnect, func(yield func(string, string) bool) { yield("j", "mx.example.org") })
	w.Connect(t.Context(), "host", milterkit.FamilyInet, "192.0.2.1", 25)
	if v := w.Helo(t.Context(), "x"); !strings.Contains(v.String(), "mx.example.org mine") {
		t.Error(v)
	}
}

// A name that would have to be quoted, or would be changed, is none.
func TestCheckID(t *testing.T) {
	for _, good := range []string{"", "mx", "mx.example.org", "mx-1.example.org."} {
		if err := CheckID(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{" ", "mx.example.org ", "a b", "mx; none", "m\nx", "b\u00fccher.example", "mx/1", strings.Repeat("x", maxText+1)} {
		if err := CheckID(bad); err == nil || !strings.Contains(err.Error(), "mx.example.org") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
