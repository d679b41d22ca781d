package dkim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// parseTags reads a list of tags. Source: RFC 6376 section 3.2.
func parseTags(text string) (map[string]string, error) {
	tags := make(map[string]string)
	for pair := range strings.SplitSeq(text, ";") {
		name, value, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !found && name == "" { // behind the last semicolon
			continue
		}
		if !isTag(name) || !found {
			return nil, fmt.Errorf("%.40q is no tag", strings.TrimSpace(pair))
		}
		if _, twice := tags[name]; twice {
			return nil, fmt.Errorf("the tag %s= is there twice", name)
		}
		tags[name] = strings.TrimSpace(value)
	}
	return tags, nil
}

func isTag(name string) bool {
	for i := range len(name) {
		if !isAlnum(name[i]) && name[i] != '_' {
			return false
		}
	}
	return name != ""
}

// squeeze takes out white space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// listOf takes a list with colons apart, without white space.
func listOf(s string) []string {
	if s = squeeze(s); s == "" {
		return nil
	}
	return strings.Split(s, ":")
}

// What is taken of a signature.
const (
	// maxField bounds the field, in bytes. Who copies the header into it (z=) comes
	// to some KiB.
	maxField = 64 << 10

	// clockDrift is how far the clocks of signers may be off. OpenDKIM has the same.
	clockDrift = 5 * time.Minute
)

// A signature is what a DKIM-Signature field says.
type signature struct {
	domain, selector, identifier, algorithm string

	value  string   // b=
	body   string   // bh=
	canon  string   // c=
	fields []string // h=

	capitals bool // i= and d= differ in them
}

// A fault is why a signature is not looked at further: one of the keywords of
// results, and the reason.
type fault struct{ value, reason string }

func faultf(value, format string, args ...any) *fault {
	return &fault{value, fmt.Sprintf(format, args...)}
}

// parseSignature reads a field. With a fault there may be what was understood before.
func parseSignature(f milterkit.Field, now time.Time) (s signature, _ *fault) {
	if len(f.Value) > maxField {
		return s, faultf(Policy, "a signature field of more than %d KiB", maxField>>10)
	}
	tags, err := parseTags(string(f.Value))
	if err != nil {
		return s, faultf(Neutral, "%v", err)
	}
	s.domain, s.selector = squeeze(tags["d"]), squeeze(tags["s"])
	s.identifier, s.algorithm = squeeze(tags["i"]), squeeze(tags["a"])
	s.value, s.body, s.canon, s.fields = squeeze(tags["b"]), squeeze(tags["bh"]), squeeze(tags["c"]), listOf(tags["h"])
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if tags[name] == "" {
			return s, faultf(Neutral, "there is no %s= tag", name)
		}
	}
	if tags["v"] != "1" {
		return s, faultf(Neutral, "version %.10q is unknown", tags["v"])
	}
	if !isName(s.domain) || !isName(s.selector) {
		return s, faultf(Neutral, "d= and s= are no names")
	}
	if s.identifier == "" {
		s.identifier = "@" + s.domain
	}
	if at := strings.LastIndexByte(s.identifier, '@'); at < 0 || !under(s.identifier[at+1:], s.domain) {
		return s, faultf(PermError, "i= is not of the domain in d=")
	} else if !strings.HasSuffix(s.identifier, s.domain) {
		s.capitals = true
	}
	if fault := times(tags, now); fault != nil {
		return s, fault
	}
	if strings.HasSuffix(s.algorithm, "-sha1") { // RFC 8301 section 3.1
		return s, faultf(Policy, "SHA-1 is too weak")
	}
	if _, part := tags["l"]; part {
		return s, faultf(Policy, "l= leaves a part of the body unsigned")
	}
	return s, nil
}

// times looks at t= and x=.
func times(tags map[string]string, now time.Time) *fault {
	signed, hasSigned, err := stamp(tags, "t")
	if err != nil {
		return faultf(Neutral, "%v", err)
	}
	expires, hasExpires, err := stamp(tags, "x")
	switch {
	case err != nil:
		return faultf(Neutral, "%v", err)
	case hasSigned && signed.After(now.Add(clockDrift)):
		return faultf(Policy, "it was made in the future")
	case hasSigned && hasExpires && !expires.After(signed):
		return faultf(Neutral, "it expires before it was made")
	case hasExpires && now.After(expires):
		return faultf(Policy, "it has expired")
	}
	return nil
}

func stamp(tags map[string]string, name string) (at time.Time, there bool, err error) {
	text, there := tags[name]
	if !there {
		return at, false, nil
	}
	n, err := strconv.ParseInt(squeeze(text), 10, 64)
	if err != nil || n < 0 || n > 1e12 { // twelve digits. Source: RFC 6376 section 3.5
		return at, true, fmt.Errorf("%s= is no time", name)
	}
	return time.Unix(n, 0), true, nil
}
