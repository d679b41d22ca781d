package spf

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// Whatever a record, an explanation and a sender are, there is a result with a
// keyword, and words that are fit for a reply; and soon.
func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 ip4:192.0.2.7 -all", "no", "a@x.example")
	f.Add("v=spf1 exists:%{ir}.%{v}.%{l1r+-}.x.example include:x.example redirect=%{d} exp=why.example", "%{S}%%%_%-%{c}%{t}", `"a@b"@x.example`)
	f.Add("v=spf1 a/24//64 mx:%{o}/0 ptr ?all exp=why.example", "\r\n250 OK", "@x.example")
	keywords := []string{None, Neutral, Pass, Fail, SoftFail, TempError, PermError}
	f.Fuzz(func(t *testing.T, record, explanation, sender string) {
		of := miltertest.Records{TXT: []string{record}, IP: []string{"192.0.2.7"}, PTR: []string{"x.example"}}
		r := &miltertest.Resolver{Zone: map[string]miltertest.Records{"x.example": of, "192.0.2.7": of, "why.example": {TXT: []string{explanation}}}}
		began := time.Now()
		got := Check(t.Context(), r, envelope(client, "x.example", sender))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if !slices.Contains(keywords, got.Keyword) {
			t.Errorf("keyword %q", got.Keyword)
		}
		if strings.ContainsFunc(got.Explanation, func(r rune) bool { return r < ' ' || r > '~' }) || len(got.Explanation) > maxExplanation+len("...") {
			t.Errorf("explained by %q", got.Explanation)
		}
		if n := len(r.Queries()); n > 150 {
			t.Errorf("%d queries", n)
		}
	})
}
