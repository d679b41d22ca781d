package dmarc

import (
	"reflect"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dmarc"
	"pgregory.net/rapid"
)

// A record says what its tags say; what is not well formed says nothing.
func TestParse(t *testing.T) {
	none := Record{Policy: "none", PSD: "u"}
	reject := Record{Policy: "reject", PSD: "u"}
	with := func(r Record, set func(*Record)) Record { set(&r); return r }
	for _, c := range []struct {
		text string
		want Record
	}{
		{"v=DMARC1", none},
		{"v=DMARC1;", none},
		{"v=DMARC1; p=none", none},
		{"v=DMARC1;p=reject", reject},
		{"v=DMARC1; p=quarantine;", Record{Policy: "quarantine", PSD: "u"}},
		{" v = DMARC1 ; p = reject ; ", reject},
		{"V=DMARC1; P=Reject", reject},
		{"v=DMARC1; rua=mailto:a@example.org; p=reject", reject},
		{"v=DMARC1; p=reject; zz=1; ; = ; x; y=", reject},
		{"v=DMARC1; p=reject; p=none", reject},
		{"v=DMARC1; p=reject; sp=none; np=quarantine", with(reject, func(r *Record) { r.SubPolicy, r.AbsentPolicy = "none", "quarantine" })},
		{"v=DMARC1; p=reject; adkim=s; aspf=S", with(reject, func(r *Record) { r.StrictDKIM, r.StrictSPF = true, true })},
		{"v=DMARC1; p=reject; adkim=r; aspf=x", reject},
		{"v=DMARC1; p=reject; psd=y", with(reject, func(r *Record) { r.PSD = "y" })},
		{"v=DMARC1; p=reject; psd=N", with(reject, func(r *Record) { r.PSD = "n" })},
		{"v=DMARC1; p=reject; psd=x", reject},
		{"v=DMARC1; p=reject; t=y", with(reject, func(r *Record) { r.Testing = true })},
		{"v=DMARC1; p=reject; t=n; pct=0", reject},
		// Of RFC 7489.
		{"v=DMARC1; p=reject; pct=0; rf=afrf; ri=86400", with(reject, func(r *Record) { r.Testing = true })},
		{"v=DMARC1; p=reject; pct=50", reject},
		{"v=DMARC1; p=reject; pct=100", reject},
		// A policy that is none: it counts as p=none, if somebody is to be told.
		{"v=DMARC1; p=maybe; rua=mailto:a@example.org", none},
		{"v=DMARC1; p=reject; sp=maybe; rua=mailto:a@example.org!10m", none},
		{"v=DMARC1; p=reject; np=maybe; rua=nobody, https://example.org/", none},
		{"v=DMARC1; p=maybe; rua=nobody", with(none, func(r *Record) { r.Problem = "a policy that is none" })},
		{"v=DMARC1; p=reject; np=maybe", with(none, func(r *Record) { r.Problem = "a policy that is none" })},
	} {
		if got, ok := Parse(c.text); !ok || got != c.want {
			t.Errorf("%s: %+v, %v\nwant %+v", c.text, got, ok, c.want)
		}
	}
	for _, text := range []string{"", ";", "v=spf1 -all", "v=DMARC2; p=reject", "v=dmarc1; p=reject", "v=DMARC1 p=reject", "v=DMARC10; p=none", "p=reject; v=DMARC1", "; v=DMARC1"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is taken for a record: %+v", text, got)
		}
	}
}

// What go-msgauth reads in a record of RFC 7489 is what is read here.
func TestParseAgreesWithMsgauth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SampledFrom([]string{"none", "quarantine", "reject"})
		mode := rapid.SampledFrom([]string{"r", "s"})
		space := rapid.SampledFrom([]string{"", " ", "\t", "  "})
		tags := []string{"p=" + policy.Draw(t, "p")}
		for _, c := range []struct {
			name   string
			values *rapid.Generator[string]
		}{
			{"sp", policy}, {"adkim", mode}, {"aspf", mode},
			{"fo", rapid.SampledFrom([]string{"0", "1", "d", "s", "1:d:s"})},
			{"pct", rapid.SampledFrom([]string{"0", "1", "50", "100"})},
			{"rf", rapid.Just("afrf")}, {"ri", rapid.SampledFrom([]string{"3600", "86400"})},
			{"rua", rapid.SampledFrom([]string{"mailto:a@example.org", "mailto:a@example.org!10m,mailto:b@example.org"})},
			{"ruf", rapid.Just("mailto:a@example.org")},
		} {
			if rapid.Bool().Draw(t, c.name) {
				tags = append(tags, c.name+"="+c.values.Draw(t, c.name+" is"))
			}
		}
		text := "v=DMARC1"
		for _, tag := range rapid.Permutation(tags).Draw(t, "tags") {
			name, value, _ := strings.Cut(tag, "=")
			text += space.Draw(t, "a") + ";" + space.Draw(t, "b") + name + space.Draw(t, "c") + "=" + space.Draw(t, "d") + value
		}
		theirs, err := msgauth.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		want := Record{Policy: string(theirs.Policy), SubPolicy: string(theirs.SubdomainPolicy), PSD: "u",
			StrictDKIM: theirs.DKIMAlignment == msgauth.AlignmentStrict, StrictSPF: theirs.SPFAlignment == msgauth.AlignmentStrict,
			Testing: theirs.Percent != nil && *theirs.Percent == 0}
		if ours, ok := Parse(text); !ok || !reflect.DeepEqual(ours, want) {
			t.Fatalf("%s: %+v, %v; want %+v", text, ours, ok, want)
		}
	})
}

// Whatever a text is, what is read in it can be applied.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"v=DMARC1; p=reject; sp=none; np=quarantine; psd=n; t=y", "v=DMARC1;p=x;rua=mailto:a@b", "v = DMARC1 ;;=;"} {
		f.Add(text)
	}
	policies := map[string]bool{PolicyNone: true, PolicyQuarantine: true, PolicyReject: true}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := Parse(text)
		if !ok {
			if r != (Record{}) {
				t.Errorf("no record, but %+v", r)
			}
			return
		}
		for _, below := range []bool{false, true} {
			for _, exists := range []bool{false, true} {
				if got := r.For(below, exists); !policies[got] {
					t.Errorf("policy %q", got)
				}
			}
		}
		if r.Problem != "" && r.Policy != PolicyNone {
			t.Errorf("%s, and %s", r.Problem, r.Policy)
		}
		if more, ok := Parse(text + "; zz=1"); !ok || more != r {
			t.Errorf("an unknown tag changes it: %+v", more)
		}
	})
}
