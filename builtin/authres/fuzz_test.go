package authres

import (
	"strings"
	"testing"
)

// Whatever others say, what is written can be read, and says the same: no text adds a
// result, or takes one away.
func FuzzFormat(f *testing.F) {
	f.Add("mx.example.org", "comment", "reason", "a@example.org", "example.org")
	f.Add("mx", "(\\", "\"\\", `"a b"@x`, "x; dkim=pass")
	f.Add("a b", "\r\n", "=\x00\xff", "@@", "@")
	f.Fuzz(func(t *testing.T, id, comment, reason, from, domain string) {
		list := []Result{
			{Method: "spf", Value: "fail", Comment: comment, Reason: reason, Props: []Property{{"smtp", "mailfrom", from}}},
			{Method: "dkim", Value: "none", Props: []Property{{"header", "d", domain}}},
		}
		text := Format(id, list)
		for _, line := range strings.Split(text, "\n")[1:] {
			if !strings.HasPrefix(line, "\t") || strings.ContainsAny(line, "\r\x00") {
				t.Fatalf("%q", text)
			}
		}
		gotID, got, err := Parse(text)
		if err != nil || gotID != clean(id) || len(got) != 2 || got[0].Value != "fail" || got[1].Value != "none" {
			t.Fatalf("%q is %q, %+v, %v", text, gotID, got, err)
		}
		if got[0].Prop("smtp", "mailfrom") != clean(from) || got[1].Prop("header", "d") != clean(domain) || got[0].Reason != plain(reason) {
			t.Fatalf("%q is %+v", text, got)
		}
		if !Claims(text, clean(id)) {
			t.Fatalf("%q does not claim to be of %q", text, id)
		}
	})
}

// Nothing crashes the parser, and what it understands it writes so that it
// understands the same.
func FuzzParse(f *testing.F) {
	f.Add(` mx (c) 1; dkim=pass (2048-bit key; x) header.d=example.org header.i="@x"; spf/1 = fail smtp.mailfrom = a=b@c`)
	f.Add(`"a\"b" ; =; a=; ;b=c d.e=`)
	f.Fuzz(func(t *testing.T, value string) {
		id, list, err := Parse(value)
		if err != nil {
			return
		}
		if !Claims(value, id) {
			t.Fatalf("%q does not claim to be of %q", value, id)
		}
		again, back, err := Parse(Format(id, list))
		if err != nil || again != clean(id) || len(back) != len(list) {
			t.Fatalf("%q\nis %+v\nagain %q %+v, %v", value, list, Format(id, list), back, err)
		}
	})
}
