package dmarc

import (
	"net/url"
	"strings"
)

// What the owner of a domain wants done with mail that is not its own. Source: RFC
// 9989 section 4.7.
const (
	PolicyNone       = "none"
	PolicyQuarantine = "quarantine"
	PolicyReject     = "reject"
)

// A Record is a DMARC policy record. Tags about reports are left out: none are sent.
type Record struct {
	Policy       string // p=; PolicyNone where there is none
	SubPolicy    string // sp=, for names below the domain that exist; "" where there is none
	AbsentPolicy string // np=, for those that do not; "" where there is none

	StrictDKIM, StrictSPF bool // adkim=s, aspf=s

	// PSD is psd=: "y", names are registered below this domain; "n", it is an
	// organisation's; "u", neither is said.
	PSD string

	// Testing is t=y: the policy is tried out, and the one below it is asked for.
	Testing bool

	// Problem says why the record cannot be applied: a policy that is none, and
	// nobody who would be told. "" where it can.
	Problem string
}

// Parse reads a record. ok is false where the text is no record of this version, and
// to be passed over. Unknown tags are too, and so are tags that are not well formed,
// and a tag that was there before. A record of RFC 7489 is one of RFC 9989: pct=, rf=
// and ri= mean nothing any more, but that pct=0 is t=y (appendix A.6). Source: RFC
// 9989 sections 4.7, 4.8 and 4.10.1.
func Parse(text string) (r Record, ok bool) {
	first, rest, _ := strings.Cut(text, ";")
	name, value := tag(first)
	if name != "v" || value != "DMARC1" {
		return Record{}, false
	}
	tags := map[string]string{}
	for part := range strings.SplitSeq(rest, ";") {
		name, value := tag(part)
		if _, before := tags[name]; name != "" && !before {
			tags[name] = value
		}
	}
	is := func(name, want string) bool { return strings.EqualFold(tags[name], want) }
	r = Record{PSD: "u", StrictDKIM: is("adkim", "s"), StrictSPF: is("aspf", "s"), Testing: is("t", "y")}
	if _, said := tags["t"]; !said && tags["pct"] == "0" {
		r.Testing = true
	}
	for _, psd := range []string{"y", "n"} {
		if is("psd", psd) {
			r.PSD = psd
		}
	}
	r.policies(tags)
	return r, true
}

// policies reads p=, sp= and np=. Where one of them is not valid the record counts as
// p=none, if there is somebody who wants to be told, and else not at all. That p= is
// not there is p=none. Source: RFC 9989 sections 4.7 and 4.10.1.
func (r *Record) policies(tags map[string]string) {
	r.Policy = PolicyNone
	for name, policy := range map[string]*string{"p": &r.Policy, "sp": &r.SubPolicy, "np": &r.AbsentPolicy} {
		value, there := tags[name]
		if !there {
			continue
		}
		switch value = strings.ToLower(value); value {
		case PolicyNone, PolicyQuarantine, PolicyReject:
			*policy = value
		default:
			r.Problem = "a policy that is none"
		}
	}
	if r.Problem != "" {
		r.Policy, r.SubPolicy, r.AbsentPolicy = PolicyNone, "", ""
		if hasURI(tags["rua"]) {
			r.Problem = ""
		}
	}
}

// tag takes a tag apart. The name is "" where it is not well formed.
func tag(text string) (name, value string) {
	name, value, found := strings.Cut(text, "=")
	name, value = strings.ToLower(strings.Trim(name, space)), strings.Trim(value, space)
	if !found || value == "" {
		return "", ""
	}
	return name, value
}

const space = " \t\r\n"

// hasURI reports whether a list has a URI.
func hasURI(list string) bool {
	for text := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.Trim(text, space))
		if err == nil && u.Scheme != "" && (u.Opaque != "" || u.Host != "") {
			return true
		}
	}
	return false
}

// For returns the policy for mail of a name: the domain that has the record, or one
// below it, which exists or does not.
func (r Record) For(below, exists bool) string {
	switch {
	case below && !exists && r.AbsentPolicy != "":
		return r.AbsentPolicy
	case below && r.SubPolicy != "":
		return r.SubPolicy
	}
	return r.Policy
}
