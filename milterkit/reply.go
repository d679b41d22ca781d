package milterkit

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a reply. Source: libmilter's smfi_setmlreply.
const (
	maxReplyLine  = 980 // bytes of text in a line
	maxReplyLines = 32
)

// formatReply makes the lines of an SMTP reply that every MTA takes: the same
// code on each line, '-' after it on all but the last, an enhanced status code
// of the same class, no control characters, bounded.
func formatReply(code int, lines []string) string {
	if len(lines) > maxReplyLines {
		lines = lines[:maxReplyLines]
	}
	if len(lines) == 0 {
		lines = []string{""}
	}
	var b strings.Builder
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(strconv.Itoa(code))
		b.WriteString(sep)
		b.WriteString(bound(matchClass(code, cleanLine(line))))
	}
	return b.String()
}

// cleanLine leaves out what must not stand in a line of a reply.
func cleanLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// bound cuts off what is too long for a line, and no character in two.
func bound(s string) string {
	if len(s) > maxReplyLine {
		s = strings.ToValidUTF8(s[:maxReplyLine], "")
	}
	return s
}

// matchClass gives an enhanced status code at the start of line the class of
// the code: Postfix closes the milter's connection where they differ, and before
// version 3.12 wherever the text begins with another digit than the code, such
// as that of an address. So a text of that kind gets an enhanced status code.
// Source: Postfix, milter8_event and milter8_valid_smtp_reply.
func matchClass(code int, line string) string {
	class := strconv.Itoa(code / 100)
	word := line
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		word = line[:i]
	}
	parts := strings.Split(word, ".")
	switch {
	case len(parts) == 3 && len(parts[0]) == 1 && strings.Contains("245", parts[0]) && digits(parts[1]) && digits(parts[2]):
		return class + line[1:]
	case line != "" && digits(line[:1]) && line[:1] != class:
		return class + ".0.0 " + line
	}
	return line
}

// digits reports whether s is a number of one to three digits.
func digits(s string) bool {
	if len(s) < 1 || len(s) > 3 {
		return false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func splitLines(text string) []string {
	return strings.Split(strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\r\n", "\n"), "\n")
}

// ParseReply returns the verdict that an SMTP reply of one or several lines
// stands for, such as "550 5.7.1 no" or "451-4.7.1 one\r\n451 4.7.1 two". An
// enhanced status code is not needed.
func ParseReply(text string) (Verdict, error) {
	lines := splitLines(text)
	code := 0
	for i, line := range lines {
		n, rest, err := replyLine(line)
		if err != nil {
			return Verdict{}, err
		}
		if i > 0 && n != code {
			return Verdict{}, fmt.Errorf("reply code changes from %d to %d", code, n)
		}
		code, lines[i] = n, rest
	}
	return Reply(code, lines...), nil
}

// replyLine takes a line of a reply apart.
func replyLine(line string) (code int, rest string, err error) {
	if len(line) < 3 || !digits(line[:3]) || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, "", fmt.Errorf("%.40q is not a line of an SMTP reply", line)
	}
	code, _ = strconv.Atoi(line[:3])
	if code < 400 || code > 599 {
		return 0, "", fmt.Errorf("reply code %d is not within 400 to 599", code)
	}
	return code, line[min(4, len(line)):], nil
}
