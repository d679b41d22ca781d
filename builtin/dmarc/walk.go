package dmarc

import (
	"context"
	"fmt"
	"strings"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/internal/domain"
)

// maxLabels is the length of names from which on a walk leaves some out, so that it
// has no more than eight queries. Source: RFC 9989 section 4.10.
const maxLabels = 8

// A finder looks up records. It asks each question once.
type finder struct {
	resolver dns.Resolver
	known    map[string]*Record // by domain; nil: there is none
}

// A place is a domain that has a record.
type place struct {
	domain string
	record *Record
}

// record returns the record of a domain, nil where there is none. Several are none.
// Source: RFC 9989 section 4.10, steps 2 and 6.
func (f *finder) record(ctx context.Context, name string) (*Record, error) {
	if r, asked := f.known[name]; asked {
		return r, nil
	}
	texts, err := f.resolver.LookupTXT(ctx, "_dmarc."+name)
	if err != nil && !dns.NotFound(err) {
		return nil, fmt.Errorf("the record of %s cannot be looked up", name)
	}
	var found *Record
	n := 0
	for _, text := range texts {
		if r, ok := Parse(text); ok {
			found = &r
			n++
		}
	}
	if n > 1 {
		found = nil
	}
	if f.known == nil {
		f.known = map[string]*Record{}
	}
	f.known[name] = found
	return found, nil
}

// walk returns those that have a record of a name and the names above it, the longest
// first. Source: RFC 9989 section 4.10.
func (f *finder) walk(ctx context.Context, name string) ([]place, error) {
	var places []place
	for {
		r, err := f.record(ctx, name)
		if err != nil {
			return nil, err
		}
		if r != nil {
			places = append(places, place{name, r})
			if r.PSD != "u" {
				return places, nil
			}
		}
		labels := strings.Split(name, ".")
		if len(labels) == 1 {
			return places, nil
		}
		drop := max(1, len(labels)-(maxLabels-1))
		name = strings.Join(labels[drop:], ".")
	}
}

// organisation returns the organisational domain of a name, and its record, nil where
// it has none. Source: RFC 9989 section 4.10.2.
func (f *finder) organisation(ctx context.Context, name string) (place, error) {
	places, err := f.walk(ctx, name)
	if err != nil {
		return place{}, err
	}
	for _, p := range places {
		switch {
		case p.record.PSD == "n":
			return p, nil
		case p.record.PSD == "y" && p.domain != name:
			return f.below(ctx, p.domain, name)
		}
	}
	if len(places) > 0 {
		return places[len(places)-1], nil
	}
	return place{domain: name}, nil
}

// below returns the domain one label below a public suffix, on the way to a name. In a
// long name the walk may have left it out.
func (f *finder) below(ctx context.Context, suffix, name string) (place, error) {
	above := strings.TrimSuffix(name, "."+suffix)
	org := above[strings.LastIndexByte(above, '.')+1:] + "." + suffix
	r, err := f.record(ctx, org)
	return place{org, r}, err
}

// policy returns the record that is to be applied to the mail of a name, and whose it
// is; nil where there is none. Source: RFC 9989 section 4.10.1.
func (f *finder) policy(ctx context.Context, author string) (place, error) {
	r, err := f.record(ctx, author)
	if err != nil || r != nil {
		return place{author, r}, err
	}
	org, err := f.organisation(ctx, author)
	if err != nil || org.record != nil {
		return org, err
	}
	places, err := f.walk(ctx, author)
	for _, p := range places { // it has none of its own: that of the public suffix
		if p.record.PSD == "y" {
			return p, err
		}
	}
	return place{}, err
}

// exists reports whether a name exists. The RFC means any record at all; the resolver
// does not tell a name without records of one type from one that does not exist, so
// those that mail has to do with count. Source: RFC 9989 section 3.2.13, RFC 9091
// section 2.7.
func (f *finder) exists(ctx context.Context, name string) (bool, error) {
	var failed error
	for _, lookup := range []func() error{
		func() error { _, err := f.resolver.LookupMX(ctx, name); return err },
		func() error { _, err := f.resolver.LookupIPAddr(ctx, name); return err },
		func() error { _, err := f.resolver.LookupTXT(ctx, name); return err },
	} {
		err := lookup()
		if err == nil {
			return true, nil
		}
		if !dns.NotFound(err) {
			failed = fmt.Errorf("whether there is a %s cannot be looked up", name)
		}
	}
	return false, failed
}

// aligned reports whether a name is aligned with that of the author: the same, or, if
// not strict, of the same organisation. Source: RFC 9989 sections 4.4 and 4.10.2.
func (f *finder) aligned(ctx context.Context, author, name string, strict bool) (bool, error) {
	if name == author {
		return true, nil
	}
	if strict {
		return false, nil
	}
	org, err := f.organisation(ctx, author)
	if err != nil {
		return false, err
	}
	if !domain.Under(name, org.domain) { // then its organisation is another
		return false, nil
	}
	other, err := f.organisation(ctx, name)
	return err == nil && other.domain == org.domain, err
}
