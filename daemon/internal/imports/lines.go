package imports

import (
	"strconv"
	"strings"
	"time"
)

// A setting is one of a file of settings.
type setting struct {
	key, value string
	line       int
	text       string // the line as it stands there
}

// is reports whether the value is yes, in one of the ways in which these programs
// write it.
func (s setting) is() bool {
	switch strings.ToLower(s.value) {
	case "yes", "true", "1", "on":
		return true
	}
	return false
}

// list splits a value at commas and blanks.
func (s setting) list() []string {
	return strings.FieldsFunc(s.value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// settingsOf reads "key value" lines, as clamav-milter, OpenDKIM and OpenDMARC have
// them, or "key = value" where sign is "=". What stands behind a # is a comment;
// with whole only where the line begins with it.
func settingsOf(text, sign string, whole bool) []setting {
	var list []setting
	n := 0
	for line := range strings.Lines(text) {
		n++
		s := strings.TrimSpace(line)
		if i := strings.IndexByte(s, '#'); i == 0 || i > 0 && !whole {
			s = strings.TrimSpace(s[:i])
		}
		if s == "" {
			continue
		}
		set := setting{line: n, text: shortened(s)}
		if sign == "" {
			i := strings.IndexAny(s, " \t")
			if i < 0 {
				i = len(s)
			}
			set.key, set.value = s[:i], strings.TrimSpace(s[i:])
		} else {
			set.key, set.value, _ = strings.Cut(s, sign)
			set.key, set.value = strings.TrimSpace(set.key), strings.TrimSpace(set.value)
		}
		list = append(list, set)
	}
	return list
}

// unquoted takes away quotes around a value.
func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// maxWords bounds the text that variables grow to.
const maxWords = 4 << 10

// shellWords splits a line as a shell does, with the variables that are known. No
// shell is run: an unknown variable is empty. The second result is false where a
// quote is not closed.
func shellWords(s string, vars map[string]string) ([]string, bool) {
	var words []string
	var word strings.Builder
	begun, quote, total := false, byte(0), 0
	for i := 0; i < len(s) && total < maxWords; i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			begun = true
		case quote == 0 && (c == '"' || c == '\''):
			quote, begun = c, true
		case quote != 0 && c == quote:
			quote = 0
		case c == '$' && quote != '\'':
			name, end := variable(s, i+1)
			value := vars[name]
			total += len(value)
			i = end - 1
			if quote != 0 {
				word.WriteString(value)
				begun = true
				continue
			}
			for j, part := range strings.Fields(value) {
				if j > 0 {
					words = append(words, word.String())
					word.Reset()
				}
				word.WriteString(part)
				begun = true
			}
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		case quote == 0 && c == '#' && !begun:
			i = len(s)
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words, quote == 0
}

// variable returns the name that begins at i, behind a dollar sign, as NAME or
// {NAME} or {NAME:-…}, and where it ends.
func variable(s string, i int) (string, int) {
	if i < len(s) && s[i] == '{' {
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return "", len(s)
		}
		name, _, _ := strings.Cut(s[i+1:i+end], ":")
		return name, i + end + 1
	}
	end := i
	for end < len(s) && (s[end] == '_' || s[end] >= '0' && s[end] <= '9' || s[end] >= 'A' && s[end] <= 'Z' || s[end] >= 'a' && s[end] <= 'z') {
		end++
	}
	return s[i:end], max(end, i)
}

// units of time as these programs write them.
var units = map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// durationOf reads a time such as 30, 10m or 1w. Years are the longest that one
// waits for anything here.
func durationOf(s string) (time.Duration, bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 32)
	unit, ok := units[strings.ToLower(s[i:])]
	if err != nil || !ok || n > int64(10*365*24*time.Hour/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// timeText is a time as the configuration file has it: 10m, 168h, 4m57s.
func timeText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
