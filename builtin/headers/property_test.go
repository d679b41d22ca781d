package headers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"pgregory.net/rapid"
)

// names are those of the fields of these tests, some of which Sendmail has itself.
var names = []string{"Subject", "X-A", "x-a", "X-B", "From", "Date", "Received"}

// drawRules returns rules that take fields away, change them, and put others before
// them.
func drawRules(t *rapid.T) []Rule {
	rules := make([]Rule, rapid.IntRange(1, 6).Draw(t, "rules"))
	for i := range rules {
		r := &rules[i]
		r.Header = rapid.SampledFrom(append([]string{"*", "X-*"}, names...)).Draw(t, "header")
		r.Match = rapid.SampledFrom([]string{"", "^.*[02468]$", "^1.*$", "^.*2.*$"}).Draw(t, "match")
		r.From = rapid.SampledFrom([]From{Anywhere, Message, Children}).Draw(t, "from")
		r.Action = rapid.SampledFrom([]Action{Remove, Replace, Prepend, Dunno}).Draw(t, "action")
		switch r.Action {
		case Replace:
			r.Text = fmt.Sprintf("by %d of $0", i)
		case Prepend:
			r.Text = rapid.SampledFrom(names).Draw(t, "new") + ": before $0"
		}
	}
	return rules
}

// drawBefore returns a child that edits the message first.
func drawBefore(t *rapid.T, names []string, deletes bool) milterkit.Child {
	type change struct {
		kind, index int
		name        string
	}
	changes := make([]change, rapid.IntRange(0, 5).Draw(t, "changes"))
	for i := range changes {
		kinds := 3
		if deletes {
			kinds = 4
		}
		changes[i] = change{rapid.IntRange(1, kinds).Draw(t, "kind"), rapid.IntRange(0, 12).Draw(t, "index"), rapid.SampledFrom(names).Draw(t, "name")}
	}
	return editor(func(e *milterkit.Edits) {
		for i, c := range changes {
			switch value := fmt.Sprint(100 + i); c.kind {
			case 1:
				e.AddHeader(c.name, value)
			case 2:
				e.InsertHeader(c.index, c.name, value)
			case 3:
				e.ChangeHeader(c.name, c.index, value)
			case 4:
				e.DeleteHeader(c.name, c.index)
			}
		}
	})
}

// model is what rules make of a header. It leaves out, and returns apart, what is
// put before fields at the top that children have added or changed: nobody can tell
// whether the MTA's own Received stands between those. With apart it does so with
// all that is put before fields.
func model(rules []Rule, header []field, apart bool) (made, before []field) {
	top := true
	for _, f := range header {
		top = top && f.added
		i := slices.IndexFunc(rules, func(r Rule) bool {
			name, value := strings.ToLower(f.name), strings.TrimSpace(f.value)
			prefix, glob := strings.CutSuffix(strings.ToLower(r.Header), "*")
			return (name == prefix || glob && strings.HasPrefix(name, prefix)) && regexp.MustCompile(r.Match).MatchString(value) &&
				(r.From == Anywhere || f.added == (r.From == Children))
		})
		if i < 0 {
			made = append(made, field{name: f.name, value: f.value})
			continue
		}
		text := " " + strings.ReplaceAll(rules[i].Text, "$0", strings.TrimSpace(f.value))
		switch rules[i].Action {
		case Remove:
			continue
		case Replace:
			f.value = text
		case Prepend:
			name, value, _ := strings.Cut(strings.TrimSpace(text), ":")
			if top || apart {
				before = append(before, field{name: name, value: value})
			} else {
				made = append(made, field{name: name, value: value})
			}
		}
		made = append(made, field{name: f.name, value: f.value})
	}
	return made, before
}

// Whatever rules remove, change and put before others at once, the next child sees
// what a list of fields would have become, behind either MTA, and after another
// child's edits. Only behind Sendmail, and where that child has deleted fields or
// added some that Sendmail has itself, what is put before a field may stand higher.
func TestEditsOfSeveralRules(t *testing.T) {
	for _, c := range []struct {
		name, version string
		names         []string // of the fields that the child before edits
		deletes       bool     // does it delete some?
		higher        bool     // may new fields stand higher than before their field?
	}{
		{"Postfix", postfix, names, true, false},
		{"Sendmail", sendmail, names[:4], false, false},
		{"Sendmail, after deletes", sendmail, names, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				var message strings.Builder
				for i := range rapid.IntRange(0, 12).Draw(t, "fields") {
					fmt.Fprintf(&message, "%s: %d\n", rapid.SampledFrom(names).Draw(t, "name"), i)
				}
				var before, after []field
				drawn := drawRules(t)
				child, err := New(Options{Rules: drawn})
				if err != nil {
					t.Fatal(err)
				}
				o := deliver(t, c.version, message.String()+"\n", drawBefore(t, c.names, c.deletes), recorder("before", &before), child, recorder("after", &after))
				want, atop := model(drawn, before, c.higher)
				for i := range after {
					after[i].added = false
				}
				got := slices.Clone(after)
				for _, f := range atop {
					at := slices.Index(got, f)
					its := slices.IndexFunc(got, func(x field) bool { return "before "+strings.TrimSpace(x.value) == strings.TrimSpace(f.value) })
					if at < 0 || at > its {
						t.Fatalf("%v does not stand before its field in\n%v\nwas\n%v", f, after, before)
					}
					got = slices.Delete(got, at, at+1)
				}
				if !slices.Equal(got, want) || o.Verdict != milterkit.Continue {
					t.Fatalf("%v\nwas  %v\ngot  %v\nwant %v", o.Verdict, before, got, want)
				}
			})
		})
	}
}
