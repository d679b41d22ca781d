package dmarc

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/builtin/spf"
	"github.com/milterkit/sdk/milterkit"
)

// A checker is the child.
type checker struct {
	options  Options
	verifier *dkim.Verifier
}

// checkTime bounds all look-ups for one message. What is not known then is a
// temperror: a sender's slow name servers must not hold sessions for minutes.
const checkTime = 30 * time.Second

// message checks a message, adds what was found, and does what is due.
func (c *checker) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	id := authres.ID(c.options.AuthservID, m.Session)
	if _, outside := action.Outside(m.Session, c.options.Skip); !outside {
		if m.AuthUser() != "" { // nobody of ours has said anything yet
			authres.RemoveForged(m, e, id)
		}
		return milterkit.Continue
	}
	within, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	ids, own := c.spf(within, m, id)
	signers, verified := c.dkim(within, m, id)
	ids, own = append(ids, signers...), append(own, verified...)

	name, unclear := author(m)
	var result Evaluation
	act := action.None
	switch {
	case unclear != nil:
		result = Evaluation{Keyword: PermError, Problem: unclear.Error()}
		act = c.options.BadFrom
	case name == "":
		result = Evaluation{Keyword: None, Problem: "From names no domain"}
	default:
		result = Evaluate(within, c.options.Resolver, name, ids)
		act = c.options.action(result)
	}
	if err := ctx.Err(); err != nil { // then the results mean nothing
		return milterkit.Fail(err)
	}
	authres.RemoveForged(m, e, id)
	e.InsertHeader(0, authres.FieldName, authres.Format(id, append(own, result.AuthRes(act))))
	return verdict(act, result, e)
}

// verdict does what is due.
func verdict(act string, result Evaluation, e *milterkit.Edits) milterkit.Verdict {
	why := "rejected by DMARC policy for " + result.Author
	switch {
	case result.Keyword == PermError:
		why = "DMARC: it is not clear who the message is from: " + result.Problem
	case result.Keyword == TempError:
		why = "DMARC: the message cannot be checked now: " + result.Problem
	case act == action.TempFail:
		why = "deferred by DMARC policy for " + result.Author
	case act == action.Quarantine:
		why = "held by DMARC policy for " + result.Author
	}
	switch act {
	case action.Reject:
		return milterkit.Reject("5.7.1 " + why)
	case action.TempFail:
		return milterkit.TempFail("4.7.1 " + why)
	case action.Quarantine:
		e.Quarantine(why)
	}
	return milterkit.Continue
}

// spf returns what SPF says of the sender: that a child before this one has found
// out, or what is found out now, which is then to be told. Of the two identities that
// SPF has, the sender counts; where that is null, the name by which the client calls
// itself stands for it. Source: RFC 9989 section 4.4.2, RFC 7208 section 2.4.
func (c *checker) spf(ctx context.Context, m *milterkit.Message, id string) (ids []Identifier, own []authres.Result) {
	property := spf.MailFrom
	if m.Sender.Addr == "" {
		property = spf.Helo
	}
	for _, r := range authres.Added(m, id, "spf") {
		if value := r.Prop("smtp", property); value != "" {
			ids = append(ids, Identifier{"spf", r.Value, domainOf(value)})
		}
	}
	if len(ids) > 0 {
		return ids, nil
	}
	r := spf.Check(ctx, c.options.Resolver, m.Envelope)
	return []Identifier{{"spf", r.Keyword, r.Domain}}, []authres.Result{r.AuthRes()}
}

// dkim is spf for the message's signatures. Results that do not say whose signature
// has passed are of no use.
func (c *checker) dkim(ctx context.Context, m *milterkit.Message, id string) (ids []Identifier, own []authres.Result) {
	results := authres.Added(m, id, "dkim")
	nameless := func(r authres.Result) bool { return r.Value == Pass && r.Prop("header", "d") == "" }
	if len(results) == 0 || slices.ContainsFunc(results, nameless) {
		for _, v := range c.verifier.Verify(ctx, m) {
			own = append(own, v.AuthRes())
		}
		if own == nil {
			own = []authres.Result{{Method: "dkim", Value: dkim.None}}
		}
		results = own
	}
	for _, r := range results {
		ids = append(ids, Identifier{"dkim", r.Value, domainOf(r.Prop("header", "d"))})
	}
	return ids, own
}

// domainOf returns the domain of a domain or an address, "" where it is none.
func domainOf(value string) string {
	name, err := domain.ASCII(value[strings.LastIndexByte(value, '@')+1:])
	if err != nil {
		return ""
	}
	return name
}
