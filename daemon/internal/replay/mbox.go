package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// fromLine begins the line before each message of an mbox.
const fromLine = "From "

// dated is such a line as programs write it: with a time and a year.
var dated = regexp.MustCompile(`^From .*[0-9]:[0-9]{2}\b.*\b[0-9]{4}\b`)

// quoted is a line of a message that an mbox has with a > before it. mboxrd puts one
// before each, mboxo only before the first kind; what mboxo leaves alone, ">From ", can
// not be told from it. Source: mbox(5) of qmail; RFC 4155 appendix A.
var quoted = regexp.MustCompile(`^>+From `)

// readMbox yields the messages of an mbox, and reports whether there may be more
// after it. A message begins after an empty line; where the first line has a time,
// so must the others, and a "From " in a text that nobody has quoted stays one.
func readMbox(name string, r *bufio.Reader, yield func(Letter, error) bool) bool {
	b := box{r: r}
	first, err := b.line()
	b.strict = dated.Match(first)
	for n := 1; err == nil; n++ {
		l := Letter{Name: fmt.Sprintf("%s:%d", name, n), Sender: senderOf(first)}
		size := int64(len(first))
		var tooLarge bool
		l.Text, first, tooLarge, err = b.message(&size)
		l.Size = size
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return yield(Letter{Name: l.Name, Size: size}, plain(err))
		case tooLarge:
			if !yield(Letter{Name: l.Name, Size: size}, errTooLarge) {
				return false
			}
		case !yield(l, nil):
			return false
		}
	}
	return errors.Is(err, io.EOF) || yield(Letter{Name: name}, plain(err))
}

// A box is an mbox while it is read.
type box struct {
	r      *bufio.Reader
	strict bool // lines between messages have a time
}

// line returns the next line with its end; at most as much as is buffered of a long
// one.
func (b *box) line() ([]byte, error) {
	line, err := b.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

// message returns the text of a message, and the line that begins the next one.
func (b *box) message(size *int64) (text, next []byte, tooLarge bool, err error) {
	empty, begin := true, true // the last line is empty; a line begins
	for {
		line, err := b.line()
		if err != nil {
			return endOf(text), nil, tooLarge, err
		}
		if empty && begin && bytes.HasPrefix(line, []byte(fromLine)) && (!b.strict || dated.Match(line)) {
			return endOf(text), bytes.Clone(line), tooLarge, nil
		}
		*size += int64(len(line))
		if begin && quoted.Match(line) {
			line = line[1:]
		}
		empty = begin && len(bytes.TrimRight(line, "\r\n")) == 0
		begin = line[len(line)-1] == '\n'
		if tooLarge = tooLarge || len(text)+len(line) > MaxSize; tooLarge {
			text = nil
			continue
		}
		text = append(text, line...)
	}
}

// endOf returns the text without the empty line between messages.
func endOf(text []byte) []byte {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if rest, ok := bytes.CutSuffix(text, []byte(end)); ok {
			return text[:len(rest)+len(end)/2]
		}
	}
	return text
}

// nobody stands there for the null sender.
const nobody = "MAILER-DAEMON"

// senderOf returns the sender of the line before a message: "From alice@example.org
// Fri …". "" where it names none.
func senderOf(line []byte) string {
	words := strings.Fields(string(line))
	if len(words) > 1 && (strings.Contains(words[1], "@") || words[1] == nobody) {
		return strings.Trim(words[1], "<>")
	}
	return ""
}
