package headers

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A rule is a [Rule] made ready.
type rule struct {
	number int
	name   string         // in small letters
	names  *regexp.Regexp // where the name has a *
	match  *regexp.Regexp // nil: any value will do
	from   From
	action Action
	field  string // Prepend: the name of the new field
	text   template
}

// maxText is how long a rule's text may be, in bytes.
const maxText = 2000

// anyValue is matched where a rule has no match, for $0.
var anyValue = regexp.MustCompile(`(?s)^.*$`)

// compile makes a rule ready, or says which option of it is wrong, and why.
func compile(r Rule) (made rule, option string, err error) {
	made = rule{name: lower([]byte(r.Header)), from: r.From, action: r.Action}
	if err := checkName(strings.ReplaceAll(r.Header, "*", "x")); err != nil {
		return made, "header", fmt.Errorf("%w; write one such as \"Subject\" or \"X-Spam-*\"", err)
	}
	if strings.Contains(r.Header, "*") {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(made.name), `\*`, `.*`)
		made.names = regexp.MustCompile(`(?s)^` + pattern + `$`)
	}
	if !slices.Contains([]From{Anywhere, Message, Children}, r.From) {
		return made, "from", fmt.Errorf("%q is unknown; there are \"message\" and \"children\", and without from any field will do", r.From)
	}
	groups := anyValue
	if r.Match != "" {
		// Made as it stands first, so that a message has what the file has.
		if _, err := regexp.Compile(r.Match); err != nil {
			return made, "match", err
		}
		if made.match, err = regexp.Compile("(?i:" + r.Match + ")"); err != nil {
			return made, "match", err
		}
		groups = made.match
	}
	option, err = made.readText(r, groups)
	return made, option, err
}

// readText reads the action and the text that goes with it.
func (r *rule) readText(from Rule, groups *regexp.Regexp) (option string, err error) {
	text := from.Text
	switch from.Action {
	case Remove, Discard, Quarantine:
	case Reject:
		text = orElse(text, rejected)
	case TempFail:
		text = orElse(text, deferred)
	case Replace:
		if text == "" {
			return "text", errors.New(`it is missing: write the new value, such as text = "$1"`)
		}
	case Warn:
		if text == "" {
			return "text", errors.New(`it is missing: write what is to stand in the log, such as text = "a long subject"`)
		}
	case Prepend:
		if r.field, text, err = cutField(text); err != nil {
			return "text", err
		}
	case Dunno:
		if text != "" {
			return "text", errors.New("dunno does nothing, and so has no text")
		}
	default:
		return "action", fmt.Errorf("%q is unknown; there are remove, replace, prepend, warn, quarantine, discard, reject, tempfail and dunno", from.Action)
	}
	if len(text) > maxText {
		return "text", fmt.Errorf("it has %d bytes; write %d at most", len(text), maxText)
	}
	r.text, err = parseTemplate(text, groups)
	return "text", err
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// cutField takes apart a field as it stands in a header.
func cutField(text string) (name, value string, err error) {
	name, value, found := strings.Cut(text, ":")
	if !found {
		return "", "", fmt.Errorf(`%q is not a field; write name, colon and value, such as text = "X-Note: $0"`, text)
	}
	if err := checkName(name); err != nil {
		return "", "", fmt.Errorf(`%w; write a field such as text = "X-Note: $0"`, err)
	}
	return name, strings.Trim(value, blanks), nil
}

// checkName says what is wrong with the name of a header field.
// Source: RFC 5322, section 2.2.
func checkName(name string) error {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }
	if name == "" || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("%q is not the name of a header field", name)
	}
	return nil
}

// fits reports whether the rule is about the field; name is in small letters.
func (r *rule) fits(name string, added bool) bool {
	switch {
	case r.from == Message && added, r.from == Children && !added:
		return false
	case r.names != nil:
		return r.names.MatchString(name)
	}
	return r.name == name
}

// maxValue is how much of a value is matched, in bytes. Postfix's header_checks see no
// more either (header_size_limit), and an expression such as .{1,500}x takes a second
// for it, and 20 for a megabyte, within which nothing stops it.
const maxValue = 100 << 10

// find returns where the rule's groups are in a value, or nil where it does not
// match.
func (r *rule) find(value []byte) []int {
	if r.match == nil {
		return []int{0, len(value)}
	}
	return r.match.FindSubmatchIndex(value[:min(len(value), maxValue)])
}
