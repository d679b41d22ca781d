package dmarc

import (
	"context"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dns"
)

// The keywords of results. Source: RFC 7489 section 11.2.
const (
	Pass      = "pass"      // the author's domain stands behind the message
	Fail      = "fail"      // it does not
	None      = "none"      // it has no record
	TempError = "temperror" // the DNS does not answer now
	PermError = "permerror" // its record cannot be made out, or the author cannot
)

// An Identifier is a domain that SPF or DKIM has looked at.
type Identifier struct {
	Method string // "spf" or "dkim"
	Value  string // "pass", "temperror", or anything else
	Domain string // in small letters and ASCII
}

// An Evaluation is what came of a message.
type Evaluation struct {
	Keyword string // Pass, Fail, ...
	Author  string // the domain of From; "" where there is none
	Problem string // why it is TempError, PermError or None, in words

	// Policy is what the domain asks for, PolicyReject for one; "" where there is no
	// record, or where it is not known.
	Policy string

	// Testing says that the domain only tries it out.
	Testing bool
}

// InForce returns the policy in force: the one below what is asked for where that is
// only tried out. Source: RFC 9989 section 4.7, tag t.
func (e Evaluation) InForce() string {
	switch {
	case !e.Testing:
		return e.Policy
	case e.Policy == PolicyReject:
		return PolicyQuarantine
	case e.Policy == PolicyQuarantine:
		return PolicyNone
	}
	return e.Policy
}

// Evaluate looks up what the author's domain asks for, and whether one of the
// identifiers speaks for it. author is in small letters and ASCII. It returns soon
// after ctx is done, with TempError.
func Evaluate(ctx context.Context, r dns.Resolver, author string, ids []Identifier) Evaluation {
	f := &finder{resolver: r}
	e := Evaluation{Author: author}
	at, err := f.policy(ctx, author)
	switch {
	case err != nil:
		e.Keyword, e.Problem = TempError, err.Error()
		return e
	case at.record == nil:
		e.Keyword = None
		return e
	case at.record.Problem != "":
		e.Keyword, e.Problem = PermError, "the record of "+at.domain+" has "+at.record.Problem
		return e
	}
	aligned, unknown := f.speaks(ctx, author, at.record, ids)
	e.Policy, e.Testing = at.record.Policy, at.record.Testing
	if below := at.domain != author; below {
		exists := true
		// What does not exist has no mail that passes: it need not be asked about.
		if at.record.AbsentPolicy != "" && !aligned {
			if exists, err = f.exists(ctx, author); err != nil {
				e.Keyword, e.Policy, e.Problem = TempError, "", err.Error()
				return e
			}
		}
		e.Policy = at.record.For(below, exists)
	}
	switch {
	case aligned:
		e.Keyword = Pass
	case unknown != "":
		e.Keyword, e.Problem = TempError, unknown
	default:
		e.Keyword = Fail
	}
	return e
}

// speaks reports whether one of the identifiers has passed and is aligned with the
// author's domain. unknown says why this cannot be known now: a check that might have
// passed, or a domain that might be aligned. Source: RFC 9989 sections 5.3.5 and 5.3.6.
func (f *finder) speaks(ctx context.Context, author string, r *Record, ids []Identifier) (aligned bool, unknown string) {
	for _, id := range ids {
		strict := r.StrictSPF
		if id.Method == "dkim" {
			strict = r.StrictDKIM
		}
		if id.Value != Pass && id.Value != TempError || id.Domain == "" {
			continue
		}
		switch ok, err := f.aligned(ctx, author, id.Domain, strict); {
		case err != nil:
			unknown = err.Error()
		case ok && id.Value == Pass:
			return true, ""
		case ok:
			unknown = id.Method + " of " + id.Domain + " cannot be checked now"
		}
	}
	return false, unknown
}

// AuthRes returns the evaluation as it stands in Authentication-Results. disposition
// is what becomes of the message.
func (e Evaluation) AuthRes(disposition string) authres.Result {
	r := authres.Result{Method: "dmarc", Value: e.Keyword, Comment: e.Problem}
	if e.Policy != "" {
		testing := ""
		if e.Testing {
			testing = " t=y"
		}
		r.Comment = "p=" + e.Policy + testing + " dis=" + disposition
		if e.Problem != "" {
			r.Comment += ", " + e.Problem
		}
	}
	if e.Author != "" {
		r.Props = []authres.Property{{Type: "header", Name: "from", Value: e.Author}}
	}
	return r
}
