package clamd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxAnswer bounds an answer of clamd. Names of viruses have some dozens of bytes.
const maxAnswer = 4096

// readAnswer reads one answer, up to the NUL that ends it. What ends before, or
// goes on behind it, is none.
func readAnswer(r io.Reader) (string, error) {
	buf := make([]byte, maxAnswer)
	n := 0
	for n < len(buf) {
		k, err := r.Read(buf[n:])
		n += k
		if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
			if i != n-1 {
				return "", fmt.Errorf("more than one answer: %s", quoted(buf[:n]))
			}
			return string(buf[:i]), nil
		}
		switch {
		case err == io.EOF && n == 0:
			return "", errors.New("the connection was closed without an answer")
		case err == io.EOF:
			return "", fmt.Errorf("an answer that is cut off: %s", quoted(buf[:n]))
		case err != nil:
			return "", err
		}
	}
	return "", fmt.Errorf("an answer without an end: %s", quoted(buf))
}

// parseAnswer takes the answer to INSTREAM or FILDES apart, such as "stream: OK" or
// "fd[7]: Eicar-Signature FOUND". virus is "" where the message is clean: that is
// said in no other way than with OK. All else is an error.
func parseAnswer(answer string) (virus string, err error) {
	what, result, _ := strings.Cut(answer, ": ")
	if name, found := strings.CutSuffix(result, " FOUND"); found { // the name may have colons
		return virusName(name), nil
	}
	if result == "OK" && (what == "stream" || strings.HasPrefix(what, "fd[")) {
		return "", nil
	}
	if text, failed := strings.CutSuffix(strings.TrimSpace(answer), "ERROR"); failed {
		return "", answerError(strings.TrimSpace(text))
	}
	return "", fmt.Errorf("an answer that is not clamd's: %s", quoted([]byte(answer)))
}

// An answerError is clamd's word that it has not scanned the message.
type answerError string

func (e answerError) Error() string {
	text := "says " + quoted([]byte(e))
	if strings.Contains(string(e), "size limit exceeded") {
		text += "; max_size must not be above the StreamMaxLength of its clamd.conf"
	}
	return text
}

// maxName bounds the name of a virus in a reply, a header or the log.
const maxName = 128

// virusName makes the name of a virus fit for a reply, a header and the log.
func virusName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, strings.TrimSpace(name))
	if name == "" {
		return "unknown"
	}
	return name[:min(len(name), maxName)]
}

// quoted is the beginning of what was read, fit to be printed.
func quoted(b []byte) string { return fmt.Sprintf("%.80q", b) }
