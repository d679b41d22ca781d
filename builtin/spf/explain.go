package spf

import (
	"context"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/domain"
)

// maxExplanation bounds an explanation, in bytes: it is one line of a reply.
const maxExplanation = 250

// maxRedirects bounds how far the record with the explanation is looked for.
const maxRedirects = 10

// macros are what an explanation can name.
type macros struct {
	local, of, domain string // the sender's parts; the domain whose record it is
	client            netip.Addr
	helo, receiver    string
}

// explain returns what a domain wants its Fail to be explained by, or "". The record
// of a domain that it redirects to counts, those that it includes do not. Whatever is
// wrong means that there is none. Source: RFC 7208 section 6.2.
func explain(ctx context.Context, g guard, m macros) string {
	for range maxRedirects {
		records, err := g.LookupTXT(ctx, m.domain)
		if err != nil {
			return ""
		}
		at, next := modifiers(records)
		if at != "" {
			name, ok := m.expand(at, true)
			if !ok {
				return ""
			}
			texts, err := g.LookupTXT(ctx, name)
			if err != nil || len(texts) != 1 {
				return ""
			}
			text, ok := m.expand(cut(texts[0], 4*maxExplanation), false)
			if !ok {
				return ""
			}
			return clean(text)
		}
		if m.domain, _ = m.expand(next, true); m.domain == "" {
			return ""
		}
	}
	return ""
}

// modifiers returns where the SPF record has its explanation, and the domain that it
// redirects to.
func modifiers(records []string) (exp, redirect string) {
	i := slices.IndexFunc(records, func(text string) bool {
		version, _, _ := strings.Cut(text, " ")
		return strings.EqualFold(version, "v=spf1")
	})
	if i < 0 {
		return "", ""
	}
	all := false
	for _, term := range strings.Fields(records[i]) {
		name, value, _ := strings.Cut(term, "=")
		switch {
		case strings.EqualFold(name, "exp"):
			exp = value
		case strings.EqualFold(name, "redirect"):
			redirect = value
		case strings.EqualFold(strings.TrimLeft(term, "+-~?"), "all"):
			all = true
		}
	}
	exp, redirect = cut(exp, domain.MaxLength), cut(redirect, domain.MaxLength)
	if all { // then redirect= is ignored. Source: RFC 7208 section 6.1.
		redirect = ""
	}
	return exp, redirect
}

// macro is one macro, or what else begins with a percent sign. Source: RFC 7208
// section 7.1.
var macro = regexp.MustCompile(`%(?:[%_-]|\{([A-Za-z])([0-9]{0,3})([Rr]?)([-.+,/_=]*)\}|.?)`)

// expand puts in what the macros of a text stand for. ok is false where one is wrong.
// Those that only an explanation may have are wrong in a name.
func (m macros) expand(text string, name bool) (out string, ok bool) {
	ok = true
	out = macro.ReplaceAllStringFunc(text, func(s string) string {
		switch s {
		case "%%":
			return "%"
		case "%_":
			return " "
		case "%-":
			return "%20"
		}
		parts := macro.FindStringSubmatch(s)
		value, known := m.value(strings.ToLower(parts[1]), name)
		if !known || parts[2] == "0" {
			ok = false
			return ""
		}
		return transform(value, parts)
	})
	return out, ok
}

// transform takes the last labels of a value, or turns their order round.
func transform(value string, parts []string) string {
	letter, digits, reverse, delimiters := parts[1], parts[2], parts[3], parts[4]
	if digits != "" || reverse != "" || delimiters != "" {
		if delimiters == "" {
			delimiters = "."
		}
		labels := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(delimiters, r) })
		if reverse != "" {
			slices.Reverse(labels)
		}
		if n, _ := strconv.Atoi(digits); n > 0 && n < len(labels) {
			labels = labels[len(labels)-n:]
		}
		value = strings.Join(labels, ".")
	}
	if letter != strings.ToLower(letter) {
		value = url.PathEscape(value)
	}
	return value
}

// value returns what a macro stands for.
func (m macros) value(letter string, name bool) (value string, known bool) {
	if name && strings.Contains("crt", letter) {
		return "", false
	}
	switch letter {
	case "s":
		return m.local + "@" + m.of, true
	case "l":
		return m.local, true
	case "o":
		return m.of, true
	case "d":
		return m.domain, true
	case "h":
		return m.helo, true
	case "i":
		return dotted(m.client), true
	case "c":
		return m.client.String(), true
	case "p":
		return "unknown", true // the RFC advises against looking it up
	case "v":
		if m.client.Is4() {
			return "in-addr", true
		}
		return "ip6", true
	case "r":
		return m.receiver, true
	case "t":
		return strconv.FormatInt(time.Now().Unix(), 10), true
	}
	return "", false
}

// dotted is the address as names have it: an IPv6 one as 32 digits.
func dotted(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	digits := strings.ReplaceAll(a.StringExpanded(), ":", "")
	return strings.Join(strings.Split(digits, ""), ".")
}

// clean makes a stranger's words fit for a reply: one line of printable ASCII that
// is not long.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f:
			return '?'
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) > maxExplanation {
		text = text[:maxExplanation] + "..."
	}
	return text
}
