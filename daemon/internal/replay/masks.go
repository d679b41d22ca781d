package replay

import (
	"regexp"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// Masks make texts alike that differ by their nature: in when they were written.
type Masks []*regexp.Regexp

// masked stands for what a mask covers.
const masked = "…"

// usual are the masks of all texts: times as mail and logs have them, and how long
// something took, or is to be waited for.
var usual = Masks{
	regexp.MustCompile(`(?:[A-Z][a-z]{2}, *)?[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?: [+-][0-9]{4}| [A-Z]{3,4})?(?: \([A-Z]+\))?`),
	regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?: [A-Z]{3,4})? [0-9]{4}`),
	regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?:Z| ?[+-][0-9]{2}:?[0-9]{2})?`),
	regexp.MustCompile(`\b[0-9]+(?:\.[0-9]+)? ?(?:ms|s|sec|seconds?|minutes?|hours?)\b`),
}

// signed are the tags of a signature that are new each time. Source: RFC 6376 section
// 3.5, RFC 8617 section 4.1.
var signed = regexp.MustCompile(`(?:^|;)\s*(?:t|x|b)=[^;]*`)

// signatures are fields that are a signature.
var signatures = []string{"DKIM-Signature", "ARC-Message-Signature", "ARC-Seal"}

// text masks a text.
func (m Masks) text(text string) string {
	for _, mask := range append(usual[:len(usual):len(usual)], m...) {
		text = mask.ReplaceAllString(text, masked)
	}
	return text
}

// field masks a field of a header.
func (m Masks) field(f miltertest.Field) miltertest.Field {
	for _, name := range signatures {
		if strings.EqualFold(name, f.Name) {
			f.Value = signed.ReplaceAllStringFunc(f.Value, func(tag string) string {
				name, _, _ := strings.Cut(tag, "=")
				return name + "=" + masked
			})
			return f
		}
	}
	f.Value = m.text(f.Value)
	return f
}

// message returns a copy of a message in which the header is masked.
func (m Masks) message(of *miltertest.Message) *miltertest.Message {
	copied := &miltertest.Message{Body: of.Body, Fields: make([]miltertest.Field, len(of.Fields))}
	for i, f := range of.Fields {
		copied.Fields[i] = m.field(f)
	}
	return copied
}
