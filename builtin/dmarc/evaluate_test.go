package dmarc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

func txt(texts ...string) miltertest.Records { return miltertest.Records{TXT: texts} }

// A walk asks for the domain, and then upwards for those of at most seven labels: the
// example of RFC 9989 section 4.10.
func TestWalkHasAtMostEightQueries(t *testing.T) {
	for name, want := range map[string]string{
		"a.b.c.d.e.f.g.h.i.j.mail.example.com": "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com " +
			"j.mail.example.com mail.example.com example.com com",
		"a.b.c.d.e.f.g.com": "a.b.c.d.e.f.g.com b.c.d.e.f.g.com c.d.e.f.g.com d.e.f.g.com e.f.g.com f.g.com g.com com",
		"a.b.c.d.e.f.com":   "a.b.c.d.e.f.com b.c.d.e.f.com c.d.e.f.com d.e.f.com e.f.com f.com com",
		"example.com":       "example.com com",
		"com":               "com",
	} {
		r := &miltertest.Resolver{}
		if _, err := (&finder{resolver: r}).walk(t.Context(), name); err != nil {
			t.Error(err)
		}
		var asked []string
		for _, q := range r.Queries() {
			asked = append(asked, strings.TrimPrefix(q, "TXT _dmarc."))
		}
		if got := strings.Join(asked, " "); got != want {
			t.Errorf("%s: %s,\nwant %s", name, got, want)
		}
	}
}

// The organisational domain is the highest that has a record, unless psd= says
// otherwise: the rules and examples of RFC 9989 section 4.10.2.
func TestOrganisation(t *testing.T) {
	const plain = "v=DMARC1; p=none"
	for _, c := range []struct {
		about, name, want string
		zone              map[string]miltertest.Records
	}{
		{"no record", "a.mail.example.com", "a.mail.example.com", nil},
		{"the highest", "a.mail.example.com", "example.com", map[string]miltertest.Records{"_dmarc.mail.example.com": txt(plain), "_dmarc.example.com": txt(plain)}},
		{"psd=n", "a.mail.example.com", "mail.example.com", map[string]miltertest.Records{"_dmarc.mail.example.com": txt(plain + "; psd=n"), "_dmarc.example.com": txt(plain)}},
		{"psd=n of its own", "a.mail.example.com", "a.mail.example.com", map[string]miltertest.Records{"_dmarc.a.mail.example.com": txt(plain + "; psd=n"), "_dmarc.example.com": txt(plain)}},
		{"psd=y above", "a.mail.example.com", "example.com", map[string]miltertest.Records{"_dmarc.com": txt(plain + "; psd=y")}},
		{"psd=y in the middle", "a.mail.example.com", "mail.example.com", map[string]miltertest.Records{"_dmarc.mail.example.com": txt(plain), "_dmarc.example.com": txt(plain + "; psd=y"), "_dmarc.com": txt(plain)}},
		{"psd=y of its own", "example.com", "example.com", map[string]miltertest.Records{"_dmarc.example.com": txt(plain + "; psd=y"), "_dmarc.com": txt(plain)}},
		{"psd=y above what was left out", "1.2.3.4.5.6.7.8.9.com", "9.com", map[string]miltertest.Records{"_dmarc.com": txt(plain + "; psd=y")}},
		{"psd=y just above what was left out", "1.2.3.4.5.6.7.8.9.com", "3.4.5.6.7.8.9.com", map[string]miltertest.Records{"_dmarc.4.5.6.7.8.9.com": txt(plain + "; psd=y")}},
		{"two records are none", "a.example.com", "a.example.com", map[string]miltertest.Records{"_dmarc.example.com": txt(plain, plain)}},
		{"another version is none", "a.example.com", "a.example.com", map[string]miltertest.Records{"_dmarc.example.com": txt("v=DMARC2; p=none", "hello")}},
		{"one among others", "a.example.com", "example.com", map[string]miltertest.Records{"_dmarc.example.com": txt("hello", plain, "v=DMARC2")}},
	} {
		got, err := (&finder{resolver: &miltertest.Resolver{Zone: c.zone}}).organisation(t.Context(), c.name)
		if err != nil || got.domain != c.want {
			t.Errorf("%s: %q, %v; want %q", c.about, got.domain, err, c.want)
		}
	}
}

// zone has domains with a policy. The client of the tests is 192.0.2.7.
func zone() map[string]miltertest.Records {
	return map[string]miltertest.Records{
		"_dmarc.reject.example":       txt("v=DMARC1; p=reject"),
		"_dmarc.quarantine.example":   txt("v=DMARC1; p=quarantine"),
		"_dmarc.none.example":         txt("v=DMARC1; p=none"),
		"_dmarc.strict.example":       txt("v=DMARC1; p=reject; adkim=s; aspf=s"),
		"_dmarc.subs.example":         txt("v=DMARC1; p=none; sp=quarantine; np=reject"),
		"_dmarc.own.subs.example":     txt("v=DMARC1; p=none; sp=reject"),
		"_dmarc.np.example":           txt("v=DMARC1; p=reject; np=none"),
		"_dmarc.testing.example":      txt("v=DMARC1; p=reject; t=y"),
		"_dmarc.testingq.example":     txt("v=DMARC1; p=quarantine; t=y"),
		"_dmarc.broken.example":       txt("v=DMARC1; p=maybe"),
		"_dmarc.down.example":         {Temporary: true},
		"_dmarc.silent.example":       {Silent: true},
		"_dmarc.uk":                   txt("v=DMARC1; p=reject; np=reject; sp=none; psd=y"),
		"here.uk":                     {IP: []string{"192.0.2.1"}},
		"there.subs.example":          {IP: []string{"192.0.2.1"}},
		"mx.subs.example":             {MX: nil, TXT: []string{"hello"}},
		"lost.subs.example":           {Temporary: true},
		"_dmarc.dept.other.example":   txt("v=DMARC1; p=reject; psd=n"),
		"_dmarc.other.example":        txt("v=DMARC1; p=reject"),
		"_dmarc.halfway.example":      txt("v=DMARC1; p=reject"),
		"_dmarc.lost.halfway.example": {Temporary: true},
		"_dmarc.downsub.none.example": {Temporary: true},
		// Of SPF.
		"reject.example":     txt("v=spf1 ip4:192.0.2.7 -all"),
		"sub.reject.example": txt("v=spf1 ip4:192.0.2.7 -all"),
		"spfdown.example":    {Temporary: true},
		"hard.example":       txt("v=spf1 ip4:192.0.2.7 -all"),
	}
}

// What the domain asks for, and whether it stands behind the message.
func TestEvaluate(t *testing.T) {
	pass := func(method, domain string) []Identifier { return []Identifier{{method, "pass", domain}} }
	temp := func(method, domain string) []Identifier { return []Identifier{{method, "temperror", domain}} }
	for _, c := range []struct {
		author           string
		ids              []Identifier
		keyword, inForce string
	}{
		{"nothing.example", nil, None, ""},
		{"nothing.example", pass("spf", "nothing.example"), None, ""},
		{"reject.example", nil, Fail, "reject"},
		{"quarantine.example", nil, Fail, "quarantine"},
		{"none.example", nil, Fail, "none"},
		{"broken.example", pass("spf", "broken.example"), PermError, ""},
		{"down.example", pass("spf", "down.example"), TempError, ""},
		// Alignment.
		{"reject.example", pass("spf", "reject.example"), Pass, "reject"},
		{"reject.example", pass("dkim", "reject.example"), Pass, "reject"},
		{"reject.example", []Identifier{{"spf", "fail", "reject.example"}, {"dkim", "neutral", "reject.example"}}, Fail, "reject"},
		{"reject.example", []Identifier{{"spf", "fail", "reject.example"}, {"dkim", "pass", "a.reject.example"}}, Pass, "reject"},
		{"a.reject.example", pass("dkim", "reject.example"), Pass, "reject"},
		{"a.reject.example", pass("spf", "b.reject.example"), Pass, "reject"},
		{"reject.example", pass("spf", "notreject.example"), Fail, "reject"},
		{"reject.example", pass("spf", "example"), Fail, "reject"},
		{"reject.example", pass("spf", ""), Fail, "reject"},
		{"strict.example", pass("spf", "a.strict.example"), Fail, "reject"},
		{"strict.example", pass("dkim", "a.strict.example"), Fail, "reject"},
		{"strict.example", pass("spf", "strict.example"), Pass, "reject"},
		{"other.example", pass("dkim", "dept.other.example"), Fail, "reject"},
		{"dept.other.example", pass("dkim", "other.example"), Fail, "reject"},
		{"dept.other.example", pass("dkim", "a.dept.other.example"), Pass, "reject"},
		{"here.uk", pass("dkim", "there.uk"), Fail, "none"},
		{"here.uk", pass("dkim", "a.here.uk"), Pass, "none"},
		// Names below.
		{"a.reject.example", nil, Fail, "reject"},
		{"a.b.c.d.e.f.g.h.i.j.k.reject.example", nil, Fail, "reject"},
		{"subs.example", nil, Fail, "none"},
		{"there.subs.example", nil, Fail, "quarantine"},
		{"mx.subs.example", nil, Fail, "quarantine"},
		{"absent.subs.example", nil, Fail, "reject"},
		{"lost.subs.example", nil, TempError, ""},
		{"own.subs.example", nil, Fail, "none"},
		{"below.own.subs.example", nil, Fail, "reject"}, // np of the organisation, not sp of what is between
		{"absent.np.example", nil, Fail, "none"},
		{"here.uk", nil, Fail, "none"},
		{"absent.uk", nil, Fail, "reject"},
		// Trying out.
		{"testing.example", nil, Fail, "quarantine"},
		{"testingq.example", nil, Fail, "none"},
		{"testing.example", pass("spf", "testing.example"), Pass, "quarantine"},
		// What cannot be known now.
		{"reject.example", temp("dkim", "reject.example"), TempError, "reject"},
		{"reject.example", temp("dkim", "a.reject.example"), TempError, "reject"},
		{"reject.example", temp("dkim", "another.example"), Fail, "reject"},
		{"reject.example", append(temp("dkim", "reject.example"), pass("spf", "reject.example")...), Pass, "reject"},
		{"halfway.example", pass("dkim", "lost.halfway.example"), TempError, "reject"},
		{"halfway.example", append(pass("dkim", "lost.halfway.example"), pass("dkim", "halfway.example")...), Pass, "reject"},
	} {
		got := Evaluate(t.Context(), &miltertest.Resolver{Zone: zone()}, c.author, c.ids)
		if got.Keyword != c.keyword || got.InForce() != c.inForce || got.Author != c.author {
			t.Errorf("%s, %v: %+v (%s in force), want %s (%s)", c.author, c.ids, got, got.InForce(), c.keyword, c.inForce)
		}
		if (got.Keyword == TempError || got.Keyword == PermError) != (got.Problem != "") {
			t.Errorf("%s: %s because of %q", c.author, got.Keyword, got.Problem)
		}
	}
}

// A message of the domain's own costs one query, and none is asked twice.
func TestFewQueries(t *testing.T) {
	r := &miltertest.Resolver{Zone: zone()}
	Evaluate(t.Context(), r, "reject.example", []Identifier{{"spf", "pass", "evil.example"}, {"dkim", "pass", "reject.example"}})
	if got := r.Queries(); len(got) > 2 {
		t.Errorf("%q", got)
	}
	r = &miltertest.Resolver{Zone: zone()}
	Evaluate(t.Context(), r, "a.there.subs.example", []Identifier{{"spf", "pass", "x.y.subs.example"}, {"dkim", "pass", "z.y.other.example"}})
	asked := r.Queries()
	slices.Sort(asked)
	if got := slices.Compact(slices.Clone(asked)); len(got) != len(asked) {
		t.Errorf("asked twice: %q", asked)
	}
}

// A name server that does not answer is waited for as long as there is time.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	got := Evaluate(ctx, &miltertest.Resolver{Zone: zone()}, "silent.example", nil)
	if took := time.Since(began); got.Keyword != TempError || took > 2*time.Second {
		t.Errorf("%s after %s", got.Keyword, took)
	}
}
