package spamd

import (
	"fmt"
	"math"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/fieldname"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/mime"
)

// The fields that tell the result.
const (
	fieldFlag   = "X-Spam-Flag"
	fieldScore  = "X-Spam-Score"
	fieldLevel  = "X-Spam-Level"
	fieldStatus = "X-Spam-Status"
)

// ours are the fields that only a filter of the receiver's own may have written, in
// the name of SpamAssassin: those above, and the others that it has itself.
var ours = []string{fieldFlag, fieldScore, fieldLevel, fieldStatus, "X-Spam-Report", "X-Spam-Checker-Version", "X-Spam-Bar", "X-Spam-Prev-Subject"}

func isOurs(name []byte) bool {
	for _, o := range ours {
		if fieldname.Same(name, o) {
			return true
		}
	}
	return false
}

// A field is one that is added to the header.
type field struct{ name, value string }

// write makes the header say what the fields say, once: it takes away what came
// with the message under a name of ours, and under the name of a new field what
// children before have written, too.
func write(m *milterkit.Message, e *milterkit.Edits, fields []field) {
	for _, name := range ours {
		anew := false
		for _, f := range fields {
			anew = anew || f.name == name
		}
		var gone []int
		nth := 0
		for _, f := range m.Header() {
			if fieldname.Is(f, name) {
				if nth++; anew || !f.Added {
					gone = append(gone, nth)
				}
			}
		}
		// From the last to the first: behind Postfix those after a deleted one move up.
		for i := len(gone) - 1; i >= 0; i-- {
			e.DeleteHeader(name, gone[i])
		}
	}
	for _, f := range fields {
		e.AddHeader(f.name, f.value)
	}
}

// fields are those that tell of r.
func (r *result) fields() []field {
	var list []field
	if r.spam {
		list = append(list, field{fieldFlag, "YES"})
	}
	list = append(list, field{fieldScore, fmt.Sprintf("%.1f", r.score)})
	if level := r.level(); level != "" {
		list = append(list, field{fieldLevel, level})
	}
	return append(list, field{fieldStatus, r.status()})
}

// maxLevel is how many stars SpamAssassin writes at most.
const maxLevel = 50

func (r *result) level() string {
	return strings.Repeat("*", int(max(0, min(maxLevel, math.Floor(r.score)))))
}

// status is X-Spam-Status, in SpamAssassin's form.
func (r *result) status() string {
	words := []string{"No,"}
	if r.spam {
		words[0] = "Yes,"
	}
	words = append(words, fmt.Sprintf(" score=%.1f", r.score), fmt.Sprintf(" required=%.1f", r.threshold))
	tests := r.tests
	if len(tests) == 0 {
		tests = []string{"none"}
	}
	for i, test := range tests {
		if i == 0 {
			test = " tests=" + test
		}
		if i < len(tests)-1 {
			test += ","
		}
		words = append(words, test)
	}
	return fold(len(fieldStatus)+2, words)
}

// maxWidth is how long a line of a header is, in characters, without its end.
const maxWidth = 77

// fold joins words to lines. The first line begins at column at.
func fold(at int, words []string) string {
	var b strings.Builder
	for i, w := range words {
		if at+len(w) > maxWidth && i > 0 {
			b.WriteString("\n\t")
			w = strings.TrimPrefix(w, " ")
			at = 8
		}
		b.WriteString(w)
		at += len(w)
	}
	return b.String()
}

// mark puts mark before the subject, which stays as it is written: encoded words
// and folds are not touched. One that has it already is left as it is.
func markSubject(m *milterkit.Message, e *milterkit.Edits, mark string) {
	mark = strings.TrimSpace(mark)
	nth := 0
	for _, f := range m.Header() {
		if !fieldname.Is(f, "Subject") {
			continue
		}
		nth++
		if text := strings.TrimSpace(mime.Decode(f.Value)); text == mark || strings.HasPrefix(text, mark+" ") {
			continue
		}
		e.ChangeHeader("Subject", nth, marked(mark, strings.TrimLeft(string(f.Value), " \t")))
	}
	if nth == 0 {
		e.AddHeader("Subject", mark)
	}
}

// marked is mark and subject, on two lines where one would be too long.
func marked(mark, subject string) string {
	first, _, _ := strings.Cut(subject, "\n")
	if len("Subject: ")+len(mark)+1+len(first) > maxWidth {
		return mark + "\n " + subject
	}
	return mark + " " + subject
}
