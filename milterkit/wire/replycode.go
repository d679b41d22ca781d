package wire

import (
	"bytes"
	"fmt"
)

// ParseReplyCode reads the payload of RepReplyCode (SMFIR_REPLYCODE): the SMTP
// reply that the client is to get, "550 5.7.1 Go away", of one line or several.
// The text is a view of p, without its NUL; every "%" in it is still doubled,
// as MTAs ask for (Sendmail uses it as a format string).
//
// It fails where an MTA would: the NUL at the end is missing or there is another
// one; a line does not start with three digits, of which the first is 4 or 5 and
// all are the same in each line; the code is not followed by "-", on the last
// line by a space or nothing; an enhanced status code (RFC 3463), where there is
// one, is of another class than the code. Lines are joined by CRLF, or by a bare
// LF; a CR anywhere else is an error too.
// Source: Postfix's milter8_valid_smtp_reply, which ends the whole session on
// such a reply; Sendmail's MILTER_CHECK_REPLYCODE.
func ParseReplyCode(p []byte) (text []byte, err error) {
	text, err = only(RepReplyCode, p, "the text")
	if err != nil {
		return nil, err
	}
	var code []byte // of the first line
	for number, rest, more := 1, text, true; more; number++ {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		if more {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if reason := replyLine(line, code, !more); reason != "" {
			return nil, fault(RepReplyCode, fmt.Sprintf("line %d: %s", number, reason))
		}
		code = line[:3]
	}
	return text, nil
}

// replyLine says what is wrong with one line of a reply; "" is nothing. code is
// that of the line before, nil for the first line.
func replyLine(line, code []byte, last bool) string {
	switch {
	case len(line) < 3 || !digits(line[:3]):
		return "no reply code of three digits"
	case line[0] != '4' && line[0] != '5':
		return "the reply code is not 4xx or 5xx"
	case code != nil && !bytes.Equal(line[:3], code):
		return "the reply code is not that of the line before"
	case len(line) > 3 && line[3] != ' ' && line[3] != '-':
		return "no space or hyphen after the reply code"
	case last && len(line) > 3 && line[3] == '-':
		return "a line is missing after this one"
	case !last && (len(line) == 3 || line[3] != '-'):
		return "no hyphen after the reply code, and it is not the last line"
	case bytes.IndexByte(line, '\r') >= 0:
		return "a CR within the line"
	}
	if class := statusClass(line[min(4, len(line)):]); class != 0 && class != line[0] {
		return "the enhanced status code is of another class than the reply code"
	}
	return ""
}

// statusClass is the class digit of the enhanced status code that text starts
// with, "5.7.1", or 0 where it starts with none. An address, "2.0.0.1", is none.
func statusClass(text []byte) byte {
	word, _, _ := bytes.Cut(text, []byte(" "))
	class, rest, _ := bytes.Cut(word, []byte("."))
	subject, detail, ok := bytes.Cut(rest, []byte("."))
	if !ok || len(class) != 1 || bytes.IndexByte([]byte("245"), class[0]) < 0 ||
		len(subject) > 3 || !digits(subject) || len(detail) > 3 || !digits(detail) {
		return 0
	}
	return class[0]
}

// digits reports whether s is decimal digits, one or more, and nothing else.
func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

// AppendReplyCode appends the frame of RepReplyCode. The caller has doubled
// every "%" and joined the lines by CRLF.
func AppendReplyCode(dst, text []byte) []byte {
	dst, at := begin(dst, RepReplyCode)
	return end(appendBytes(dst, text), at)
}
