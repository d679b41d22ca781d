package miltertest

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
)

// A stack is where goroutines stand.
type stack struct {
	count int
	text  string // one function a line, the innermost first
}

// stacksOf returns where the goroutines stand that have a label.
func stacksOf(label string, id int64) []stack {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return nil
	}
	wanted := fmt.Sprintf("%q:%q", label, strconv.FormatInt(id, 10))
	var list []stack
	for block := range strings.SplitSeq(b.String(), "\n\n") {
		head, frames, _ := strings.Cut(strings.TrimSpace(block), "\n")
		labels, frames, ok := strings.Cut(frames, "\n")
		if !ok || !strings.HasPrefix(labels, "# labels: ") || !strings.Contains(labels, wanted) {
			continue
		}
		count, _, _ := strings.Cut(head, " ")
		n, _ := strconv.Atoi(count)
		list = append(list, stack{n, frameLines(frames)})
	}
	return list
}

// frameLines makes lines "function\n\tfile:line" of those of a profile, without
// those of the kit and of the runtime.
func frameLines(profile string) string {
	var b strings.Builder
	for line := range strings.Lines(profile) {
		parts := strings.Split(strings.TrimSpace(line), "\t") // "#", address, function, file
		if len(parts) < 4 {
			continue
		}
		name, file := parts[2], parts[len(parts)-1]
		if strings.HasPrefix(name, "runtime.") || isKits(name) {
			continue
		}
		if i := strings.LastIndex(name, "+0x"); i > 0 {
			name = name[:i]
		}
		fmt.Fprintf(&b, "\t%s\n\t\t%s\n", name, strings.TrimSpace(file))
	}
	return strings.TrimRight(b.String(), "\n")
}

// isKits reports whether a function is one of the kit's, between its goroutine and
// the child.
func isKits(function string) bool {
	_, method, ok := strings.Cut(function, "/milterkit/miltertest.(*")
	return ok && (strings.HasPrefix(method, "call)") || strings.HasPrefix(method, "visit)") || strings.HasPrefix(method, "subject)"))
}

// standsAt returns where the goroutine of a call stands.
func (s *subject) standsAt(c *call) string {
	for _, st := range stacksOf(labelCall, c.id) {
		if st.text != "" {
			return st.text
		}
	}
	return "\t(it has just returned)"
}

// goroutines counts those that the child has, but for those that net/http keeps
// for the next request, which are bounded and are not the child's.
func (s *subject) goroutines() (n int, list []stack) {
	for _, st := range stacksOf(labelChild, s.id) {
		if !strings.Contains(st.text, "net/http.(*persistConn)") {
			n += st.count
			list = append(list, st)
		}
	}
	return n, list
}
