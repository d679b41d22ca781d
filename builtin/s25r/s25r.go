// Package s25r tells mail servers from end users' lines by the client's name, as
// S25R (selective SMTP rejection, by Hideo Asami) does.
//
// It is a condition, and no child: it says for which clients another child is
// worth its while, greylisting for one.
//
//	milterkit.Slot{Child: greylist, When: s25r.Default.Condition()}
package s25r

import (
	"context"
	"regexp"
	"slices"

	"github.com/milterkit/sdk/milterkit"
)

// Rules say which clients look like end users' lines. The zero Rules say it of
// none. They must not be changed once they are in use.
type Rules struct {
	// Allow are the names of mail servers, whatever Deny says of them.
	Allow []*regexp.Regexp

	// Deny are the names of end users' lines. The first that fits is the reason.
	Deny []Rule

	// IPv6 has clients with an IPv6 address looked at too. Without it only IPv4
	// ones are: the rules were made for the names of those, and many a mail server
	// has no name for its IPv6 address.
	IPv6 bool
}

// A Rule is a kind of name that end users' lines have.
type Rule struct {
	Name string // in few words: "no reverse name"
	Host *regexp.Regexp
}

// Default are the rules of S25R, and the mail servers that milter-manager knows
// to be caught by them; both as in milter-manager 2.3.2.
var Default = Rules{
	Allow: []*regexp.Regexp{
		regexp.MustCompile(`(?i)\.google\.com$`),
		regexp.MustCompile(`(?i)\.obsmtp\.com$`),
		regexp.MustCompile(`(?i)\.smtp-out\.amazonses\.com$`),
		regexp.MustCompile(`(?i)\.slack\.com$`),
		regexp.MustCompile(`(?i)\.mg\.gitlab\.com$`),
		regexp.MustCompile(`(?i)\.sendgrid\.net$`),
	},
	Deny: []Rule{
		// Postfix and Sendmail say it in these two ways, a Go program in the third.
		{"no reverse name", regexp.MustCompile(`^(?:unknown|\[.+\]|)$`)},
		{"numbers in the first label", regexp.MustCompile(`^[^.]*\d[^\d.]+\d.*\.`)},
		{"five digits in the first label", regexp.MustCompile(`^[^.]*\d{5}`)},
		{"a long name whose first or second label begins with a digit", regexp.MustCompile(`(?i)^(?:[^.]+\.)?\d[^.]*\.[^.]+\..+\.[a-z]`)},
		{"numbers at the end of the first label and within the second", regexp.MustCompile(`^[^.]*\d\.[^.]*\d-\d`)},
		{"a long name whose first two labels end with a digit", regexp.MustCompile(`^[^.]*\d\.[^.]*\d\.[^.]+\..+\.`)},
		{"a dial-up or DSL line", regexp.MustCompile(`(?i)^(?:dhcp|dialup|ppp|[achrsvx]?dsl)[^.]*\d`)},
	},
}

// With returns the rules with further ones beside them: names of mail servers, and
// of end users' lines. What it is called on stays as it is.
func (r Rules) With(allow []*regexp.Regexp, deny []Rule) Rules {
	r.Allow = slices.Concat(r.Allow, allow)
	r.Deny = slices.Concat(r.Deny, deny)
	return r
}

// EndUser reports whether the client of a session looks like an end user's line,
// and the name of the rule that says so. A client that is not on an IP network
// does not.
func (r Rules) EndUser(s *milterkit.Session) (rule string, yes bool) {
	addr := s.Client().Addr()
	if !addr.IsValid() || !addr.Unmap().Is4() && !r.IPv6 {
		return "", false
	}
	if resolve := s.Macro("client_resolve"); resolve != "" && resolve != "OK" {
		return r.Host("unknown") // Sendmail has a name, and does not vouch for it
	}
	return r.Host(s.Host)
}

// Host is EndUser for a client's name, as the MTA has found it: a name, which it
// has looked up in both directions; or "unknown" or "[192.0.2.1]" where there is
// none.
func (r Rules) Host(name string) (rule string, yes bool) {
	if slices.ContainsFunc(r.Allow, func(p *regexp.Regexp) bool { return p.MatchString(name) }) {
		return "", false
	}
	i := slices.IndexFunc(r.Deny, func(d Rule) bool { return d.Host.MatchString(name) })
	if i < 0 {
		return "", false
	}
	return r.Deny[i].Name, true
}

// Condition returns the condition that holds for clients that look like end users'
// lines. It is settled at connect.
func (r Rules) Condition() milterkit.Condition {
	return milterkit.Condition{Name: "s25r", At: milterkit.StageConnect,
		Holds: func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			_, yes := r.EndUser(e.Session)
			return yes
		}}
}
