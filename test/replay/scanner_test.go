package replay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A scanner reads a line from left to right. After its first error it reads
// nothing more.
type scanner struct {
	rest string
	err  error
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%s at %q", fmt.Sprintf(format, args...), s.rest)
	}
}

// match takes what the pattern, which begins with ^, matches, and returns its
// groups.
func (s *scanner) match(pattern *regexp.Regexp) []string {
	m := pattern.FindStringSubmatch(s.rest)
	if s.err != nil || m == nil {
		s.fail("want %v", pattern)
		return make([]string, pattern.NumSubexp()+1)
	}
	s.rest = s.rest[len(m[0]):]
	return m
}

// number takes a group for a number.
func (s *scanner) number(group string, base int) uint32 {
	n, err := strconv.ParseUint(group, base, 32)
	if err != nil {
		s.fail("%v", err)
	}
	return uint32(n)
}

// literal takes a string as Python writes it, '…' or "…", and after a b one of
// bytes. A character of a string stands for the byte of that number.
func (s *scanner) literal() string {
	prefix := s.match(literalStart)
	var out []byte
	for s.err == nil && !strings.HasPrefix(s.rest, prefix[1]) {
		if strings.HasPrefix(s.rest, `\`) {
			out = append(out, s.escape())
			continue
		}
		r, n := utf8.DecodeRuneInString(s.rest)
		if n == 0 || r > 0xff || r == utf8.RuneError {
			s.fail("no end of the literal")
			break
		}
		out, s.rest = append(out, byte(r)), s.rest[n:]
	}
	if s.err == nil {
		s.rest = s.rest[len(prefix[1]):]
	}
	return string(out)
}

var (
	literalStart = regexp.MustCompile(`^b?(['"])`)
	escapes      = regexp.MustCompile(`^\\(?:x([0-9a-f]{2})|([\\'"nrt]))`)
	plainEscapes = map[string]byte{`\`: '\\', `'`: '\'', `"`: '"', "n": '\n', "r": '\r', "t": '\t'}
)

func (s *scanner) escape() byte {
	m := s.match(escapes)
	if m[1] != "" {
		return byte(s.number(m[1], 16))
	}
	return plainEscapes[m[2]]
}
