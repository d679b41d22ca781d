package dkim

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/milterkit/sdk/builtin/authres"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/milterkit"
)

// The keywords of results. Source: RFC 8601 section 2.7.1.
const (
	None      = "none"      // there is no signature
	Pass      = "pass"      // the message is as it was signed
	Fail      = "fail"      // it is not, or another key was used
	Policy    = "policy"    // the signature is of a kind that is not taken
	Neutral   = "neutral"   // it cannot be made out
	TempError = "temperror" // the key cannot be looked up now
	PermError = "permerror" // there is no key, or it cannot be made out
)

// DefaultMaxSignatures is how many signatures of a message a Verifier looks at where
// it is told nothing else.
const DefaultMaxSignatures = 5

// A Verifier verifies the signatures of messages. The zero Verifier serves; its fields
// must not change once it is in use.
type Verifier struct {
	// MaxSignatures is how many signatures of a message are looked at, from the top.
	// Zero: DefaultMaxSignatures.
	MaxSignatures int

	// Resolver is asked for keys. Nil: the one of the system, shared by all children.
	Resolver dns.Resolver

	// Clock is the time. Nil: time.Now.
	Clock func() time.Time
}

// A Verification is what came of one signature. All but Value and Reason is as the
// signature has it: others have written it, and some of it may be "".
type Verification struct {
	Value  string // Pass, Fail, ...
	Reason string // for which it is not Pass

	Domain     string // d=, who is responsible
	Identifier string // i=, or "@" and the domain
	Selector   string // s=
	Algorithm  string // a=, such as "rsa-sha256"
	Signature  string // the beginning of b=, to tell signatures of one domain apart

	KeyBits int  // of the key, 0 where it is not known
	Testing bool // the key says that it is being tried out (t=y): a signature that fails is none
}

// AuthRes returns the verification as a result for Authentication-Results.
func (v Verification) AuthRes() authres.Result {
	r := authres.Result{Method: "dkim", Value: v.Value, Reason: v.Reason}
	if v.KeyBits > 0 {
		r.Comment = fmt.Sprintf("%d-bit key", v.KeyBits)
		if v.Testing {
			r.Comment += "; testing"
		}
	}
	if v.Domain != "" {
		for _, p := range [][2]string{{"d", v.Domain}, {"i", v.Identifier}, {"a", v.Algorithm}, {"s", v.Selector}, {"b", v.Signature}} {
			r.Props = append(r.Props, authres.Property{Type: "header", Name: p[0], Value: p[1]})
		}
	}
	return r
}

// Verify verifies the signatures of a message that is complete, each on a goroutine
// of its own, and returns what came of them in the order of the header; nothing where
// there are none. One more result says that there were more signatures than are
// looked at. Where ctx is done it returns soon, with results that mean nothing. When
// it has returned, nothing of it looks at the message any more.
func (v *Verifier) Verify(ctx context.Context, m *milterkit.Message) []Verification {
	var at []int // where the signatures stand
	for i, f := range m.Header() {
		if isSignature(f) {
			at = append(at, i)
		}
	}
	most := v.MaxSignatures
	if most <= 0 {
		most = DefaultMaxSignatures
	}
	list := make([]Verification, min(len(at), most))
	panics := make([]any, len(list))
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() {
			// The dispatcher knows what to do about a panic, on its own goroutine.
			defer func() { panics[i] = recover() }()
			list[i] = v.verify(ctx, m, at[i])
		})
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	if more := len(at) - len(list); more > 0 {
		list = append(list, Verification{Value: Policy, Reason: fmt.Sprintf("%d more signatures were not looked at", more)})
	}
	return list
}

func isSignature(f milterkit.Field) bool { return strings.EqualFold(string(f.Name), FieldName) }

// field returns the field at an index.
func field(m *milterkit.Message, at int) (f milterkit.Field) {
	for i, g := range m.Header() {
		if i == at {
			return g
		}
	}
	return f
}

// verify verifies the signature in one field of the header.
func (v *Verifier) verify(ctx context.Context, m *milterkit.Message, at int) (out Verification) {
	now := time.Now
	if v.Clock != nil {
		now = v.Clock
	}
	header := &signedHeader{own: field(m, at)}
	s, fault := parseSignature(header.own, now())
	out = Verification{Domain: s.domain, Identifier: s.identifier, Selector: s.selector, Algorithm: s.algorithm,
		Signature: s.value[:min(8, len(s.value))]}
	if fault == nil {
		fault = header.pick(m, at, s.fields)
	}
	if fault == nil {
		key := &keyLookup{ctx: ctx, resolver: v.Resolver, signature: s}
		fault = key.judge(dkim.VerifyWithOptions(newFeed(ctx, header.text(s), m.Body()),
			&dkim.VerifyOptions{LookupTXT: key.lookup, MaxVerifications: 1}))
		if s.capitals && fault != nil && strings.HasPrefix(fault.reason, notVerified) {
			fault = key.allows(header.check(s, key.public))
		}
		out.KeyBits, out.Testing = key.bits, key.testing
	}
	out.Value = Pass
	if fault != nil {
		out.Value, out.Reason = fault.value, fault.reason
	}
	return out
}

// A signedHeader is the part of a header that a signature is about.
type signedHeader struct {
	own    milterkit.Field // the signature's
	picked []milterkit.Field
}

// What the library can bear: it goes through all fields for each name in h=, and
// copies a field for each of its lines.
const (
	maxPicks   = 1 << 18 // names times fields
	maxCopying = 1 << 28 // lines times bytes
)

// pick keeps the fields that have one of these names, but for the signature's, at at.
// What would take the library long is a fault.
func (h *signedHeader) pick(m *milterkit.Message, at int, names []string) *fault {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[strings.ToLower(name)] = true
	}
	var lower []byte
	for i, f := range m.Header() {
		if lower = lowerInto(lower, f.Name); i != at && wanted[string(lower)] {
			h.picked = append(h.picked, f)
		}
	}
	if len(names)*len(h.picked) > maxPicks {
		return faultf(Policy, "it names %d fields, of which there are %d", len(names), len(h.picked))
	}
	copying := 0
	for _, f := range append(slices.Clip(h.picked), h.own) {
		copying += bytes.Count(f.Value, lf) * len(f.Value)
	}
	if copying > maxCopying {
		return faultf(Policy, "the header has too many folded lines")
	}
	return nil
}

// text is the header as the library is to read it: it verifies the first signature.
// The order of fields of one name, by which they are signed, is as it was.
func (h *signedHeader) text(s signature) []byte {
	own := h.own
	if s.capitals {
		own = s.recased(own)
	}
	text := appendField(nil, own)
	for _, f := range h.picked {
		text = appendField(text, f)
	}
	return append(text, "\r\n"...)
}

// A keyLookup looks up the key of one signature for the library, and knows what the
// library does not tell of it.
type keyLookup struct {
	ctx       context.Context
	resolver  dns.Resolver
	signature signature

	public          crypto.PublicKey
	bits            int
	testing, strict bool   // t=y, t=s
	fault           *fault // in place of what the library says
}

// lookup is given the name by the library, and asks for what that means in the DNS.
func (k *keyLookup) lookup(string) ([]string, error) {
	name, err := recordName(k.signature.domain, k.signature.selector)
	if err != nil {
		k.fault = faultf(Neutral, "d= or s=: %v", err)
		return nil, err
	}
	if k.resolver == nil {
		k.resolver = dns.Shared(netip.AddrPort{})
	}
	texts, err := lookupRecord(k.ctx, k.resolver, name)
	if err != nil || len(texts) != 1 {
		return texts, err
	}
	record := strings.ReplaceAll(texts[0], "\t", " ") // the library knows no tabs
	key, err := parseRecord(record)
	if err != nil { // the library might take it, and what it has would not have been looked at
		k.fault = faultf(PermError, "%v", err)
		return nil, err
	}
	k.public, k.bits, k.testing, k.strict = key.public, key.bits, key.flag("y"), key.flag("s")
	switch {
	case key.kind == "rsa" && k.bits < minBits:
		k.fault = faultf(Policy, "a key of less than %d bits is too weak", minBits)
	case k.bits > maxBits:
		k.fault = faultf(Policy, "a key of more than %d bits takes too long", maxBits)
		return nil, errors.New("too long")
	}
	return []string{record}, nil
}

// judge makes a fault of what the library says; nil means that the signature is good.
func (k *keyLookup) judge(list []*dkim.Verification, err error) *fault {
	switch {
	case k.fault != nil:
		return k.fault
	case errors.Is(err, errBlank):
		return faultf(Policy, "%v", err)
	case k.ctx.Err() != nil:
		return faultf(TempError, "%v", k.ctx.Err())
	case err != nil && !errors.Is(err, dkim.ErrTooManySignatures) || len(list) != 1:
		return faultf(Neutral, "%v", err)
	}
	err = list[0].Err
	reason := strings.TrimPrefix(fmt.Sprint(err), "dkim: ")
	switch {
	case dkim.IsTempFail(err):
		return faultf(TempError, "%s", reason)
	case dkim.IsPermFail(err):
		return faultf(PermError, "%s", reason)
	case err != nil:
		return faultf(Fail, "%s", reason)
	}
	return k.allows(nil)
}

// allows returns the fault that there is, or the one that the key is not for what it
// was used for. Source: RFC 6376 section 3.6.1, t=s.
func (k *keyLookup) allows(f *fault) *fault {
	domain := k.signature.identifier[strings.LastIndexByte(k.signature.identifier, '@')+1:]
	if f == nil && k.strict && !strings.EqualFold(domain, k.signature.domain) {
		return faultf(PermError, "the key is not for sub-domains")
	}
	return f
}
