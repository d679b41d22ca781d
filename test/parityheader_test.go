package test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/milterkit/sdk/test/stack"
)

// fields are the values of the fields of that name, unfolded, in their order.
func fields(header, name string) []string {
	var values []string
	header = strings.NewReplacer("\n\t", " ", "\n ", " ").Replace(header)
	for line := range strings.Lines(header) {
		n, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(strings.TrimSpace(n), name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// counted says how many fields of a name there are, and how many of them came with
// the message.
func counted(header, name string) string {
	values := fields(header, name)
	made := 0
	for _, v := range values {
		if strings.Contains(v, "forged") {
			made++
		}
	}
	if made > 0 {
		return fmt.Sprintf("%d %s (%d forged)", len(values), name, made)
	}
	return fmt.Sprintf("%d %s", len(values), name)
}

func virusFields(header string) []string {
	return append([]string{counted(header, "X-Virus-Scanned"), counted(header, "X-Virus-Status")}, fields(header, "X-Virus-Status")...)
}

// scores are SpamAssassin's score of a message, and the rules that make it. They tell
// whether it was shown the same message.
func scores(header string) string {
	var list []string
	for _, v := range fields(header, "X-Spam-Status") {
		_, score, _ := strings.Cut(v, "score=")
		score, _, _ = strings.Cut(score, " autolearn=")
		list = append(list, strings.ReplaceAll(score, ", ", ","))
	}
	return fmt.Sprintf("%q", list)
}

func spamFields(header string) []string {
	list := []string{counted(header, "X-Spam-Flag"), counted(header, "X-Spam-Status")}
	for _, v := range fields(header, "X-Spam-Status") {
		verdict, _, _ := strings.Cut(v, ",")
		list = append(list, verdict)
	}
	return append(list, fields(header, "X-Spam-Flag")...)
}

// results reads what the Authentication-Results of ours say by some methods.
func resultsBy(methods ...string) func(header string) []string {
	return func(header string) []string {
		var list []string
		made := 0
		for _, value := range fields(header, "Authentication-Results") {
			if !ofOurs(value) {
				continue
			}
			if strings.Contains(value, forgedMark) {
				made++
				continue
			}
			list = append(list, resultsIn(value, methods)...)
		}
		list = timed(list)
		if made > 0 {
			list = append(list, fmt.Sprintf("%d forged", made))
		}
		return list
	}
}

// timed sorts a list, since both sides have signatures in an order of their own, and
// says how many times something is there.
func timed(list []string) []string {
	slices.Sort(list)
	var short []string
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && list[i+n] == list[i] {
			n++
		}
		word := list[i]
		if n > 1 {
			word = fmt.Sprintf("%d x %s", n, word)
		}
		short = append(short, word)
		i += n
	}
	return short
}

// ofOurs reports whether a reader may take results for ours.
func ofOurs(value string) bool {
	id, _, _ := strings.Cut(strings.ToLower(value), ";")
	return strings.Contains(id, stack.AuthservID) || strings.Contains(id, spfID)
}

var (
	comment  = regexp.MustCompile(`\([^()]*\)`)
	selector = regexp.MustCompile(`\sheader\.s=("[^"]*"|\S+)`)
)

// resultsIn are the keywords of some methods, of a signature with its selector.
func resultsIn(value string, methods []string) []string {
	var list []string
	for part := range strings.SplitSeq(comment.ReplaceAllString(value, " "), ";") {
		part = strings.TrimSpace(part)
		result, _, _ := strings.Cut(part, " ")
		method, _, ok := strings.Cut(result, "=")
		if !ok || !slices.Contains(methods, method) {
			continue
		}
		if s := selector.FindStringSubmatch(part); s != nil && method == "dkim" {
			result += " (" + strings.Trim(s[1], `"`) + ")"
		}
		list = append(list, result)
	}
	return list
}
