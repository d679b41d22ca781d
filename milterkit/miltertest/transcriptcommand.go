package miltertest

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/milterkit/sdk/milterkit/wire"
)

// cmdWait is the command of a transcript that no filter is sent: time passes.
const cmdWait byte = 1

// maxRepeated bounds the lines that "N lines of" makes, in bytes.
const maxRepeated = 256 << 20

// A command is what a line of a transcript has an MTA do. Which fields are set
// depends on cmd.
type command struct {
	cmd    byte
	name   string // of a client or a field; an address; a line
	value  string // of a field; the address of a client
	family wire.Family
	port   uint16
	args   []string // ESMTP parameters
	of     byte     // the command that macros are for
	macros []Macro
	body   []byte // one that a file has is read when it is sent
	times  int    // how often the body is repeated
	file   string
	wait   time.Duration
}

// answered reports whether a filter answers the command.
func answered(cmd byte) bool {
	switch cmd {
	case wire.CmdMacros, wire.CmdAbort, wire.CmdQuit, wire.CmdQuitNew, cmdWait:
		return false
	}
	return true
}

// word returns the first word of a text.
func word(text string) string {
	first, _, _ := strings.Cut(text, " ")
	return first
}

// parseCommand reads a command: a word, as [Word] has it, and what belongs to it.
func parseCommand(text string) (command, error) {
	first, rest, _ := strings.Cut(text, " ")
	c := command{cmd: Command(first)}
	if first == "wait" {
		c.cmd = cmdWait
	}
	var err error
	switch c.cmd {
	case wire.CmdConnect:
		err = c.parseConnect(strings.Fields(rest))
	case wire.CmdHelo, wire.CmdUnknown:
		if c.name, err = unescape(rest); err == nil && rest == "" {
			err = fmt.Errorf("%s of nothing: write > %s", first, map[byte]string{
				wire.CmdHelo: "helo mail.example.org", wire.CmdUnknown: "unknown STARTLS now"}[c.cmd])
		}
	case wire.CmdMail, wire.CmdRcpt:
		err = c.parseAddress(strings.Fields(rest))
	case wire.CmdHeader:
		err = c.parseHeader(rest)
	case wire.CmdBody:
		err = c.parseBody(rest)
	case wire.CmdMacros:
		err = c.parseMacros(rest)
	case cmdWait:
		if c.wait, err = time.ParseDuration(rest); err != nil || c.wait < 0 {
			err = fmt.Errorf("%q is no time to wait: write one such as 90s or 10m", rest)
		}
	case wire.CmdData, wire.CmdEOH, wire.CmdEOM, wire.CmdAbort, wire.CmdQuit, wire.CmdQuitNew:
		if rest != "" {
			err = fmt.Errorf("%s stands alone: leave out %q", first, rest)
		}
	default:
		err = fmt.Errorf("%q is no command: there are macros, connect, helo, mail, rcpt, data, header, eoh, body, eom, unknown, abort, quit, quit_nc, wait", first)
	}
	if err == nil && strings.ContainsRune(c.name+c.value+strings.Join(c.args, ""), 0) && c.cmd != wire.CmdHeader {
		err = errors.New("a NUL can stand in a body or a field only: the protocol ends other texts with it")
	}
	return c, err
}

// parseConnect reads the client's name, its address and its port.
func (c *command) parseConnect(words []string) error {
	if len(words) == 0 || len(words) > 3 {
		return errors.New("write the client's name, its address and, if you like, its port: > connect mail.example.org 192.0.2.7 25025")
	}
	var err error
	if c.name, err = unescape(words[0]); err != nil {
		return err
	}
	if len(words) == 1 {
		c.family = wire.FamilyUnknown
		return nil
	}
	if c.value, err = unescape(words[1]); err != nil {
		return err
	}
	ip, err := netip.ParseAddr(strings.TrimPrefix(c.value, "IPv6:")) // Sendmail writes it so
	switch {
	case strings.HasPrefix(c.value, "/"):
		c.family = wire.FamilyUnix
	case err != nil:
		return fmt.Errorf("%q is no address: write 192.0.2.7, 2001:db8::7, or the path of a unix socket, or leave it out", c.value)
	case ip.Is4():
		c.family = wire.FamilyInet
	default:
		c.family = wire.FamilyInet6
	}
	if len(words) < 3 {
		return nil
	}
	port, err := strconv.ParseUint(words[2], 10, 16)
	if err != nil {
		return fmt.Errorf("%q is no port: write a number from 0 to 65535", words[2])
	}
	c.port = uint16(port)
	return nil
}

// parseAddress reads an address and its parameters.
func (c *command) parseAddress(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("write the address: > %s <a@example.org> SIZE=1000", Word(c.cmd))
	}
	for i := range words {
		var err error
		if words[i], err = unescape(words[i]); err != nil {
			return err
		}
	}
	c.name, c.args = words[0], words[1:]
	return nil
}

// parseHeader reads a field.
func (c *command) parseHeader(rest string) error {
	name, value, ok := strings.Cut(rest, ":")
	if !ok || name == "" {
		return errors.New("write name and value of the field: > header Subject: hello")
	}
	var err error
	if c.name, err = unescape(name); err != nil {
		return err
	}
	if strings.ContainsRune(c.name, 0) {
		return errors.New("a NUL cannot stand in the name of a field: the protocol ends it with one")
	}
	c.value, err = unescape(value)
	return err
}

// linesOf is how a body of many lines is written.
var linesOf = regexp.MustCompile(`^([0-9]+) lines of (.*)$`)

// parseBody reads a piece of a body: a line, the bytes between quotes, many lines,
// or a file.
func (c *command) parseBody(rest string) error {
	if file, ok := strings.CutPrefix(rest, "file "); ok {
		c.file = strings.TrimSpace(file)
		return nil
	}
	if strings.HasPrefix(rest, `"`) {
		inner, ok := strings.CutSuffix(rest[1:], `"`)
		if !ok || rest == `"` {
			return errors.New(`bytes stand between quotes: > body "first\r\nsecond\r\n"; a line that begins with a quote does too`)
		}
		text, err := unescape(inner)
		c.body, c.times = []byte(text), 1
		return err
	}
	c.times = 1
	if m := linesOf.FindStringSubmatch(rest); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > maxRepeated/(len(m[2])+2) {
			return fmt.Errorf("%s lines of this are more than %d MB: write fewer", m[1], maxRepeated>>20)
		}
		c.times, rest = n, m[2]
	}
	text, err := unescape(rest)
	c.body = []byte(text + "\r\n")
	return err
}

// content returns the piece of a body; dir is where its file is.
func (c *command) content(dir string) ([]byte, error) {
	if c.file == "" {
		return bytes.Repeat(c.body, c.times), nil
	}
	file := c.file
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	text, err := os.ReadFile(file)
	return crlf(text), err
}

// parseMacros reads the command that macros are for, names and values.
func (c *command) parseMacros(rest string) error {
	of, rest, _ := strings.Cut(rest, " ")
	if c.of = Command(of); c.of == 0 || !answered(c.of) || c.of == wire.CmdNegotiate {
		return fmt.Errorf("macros for %q: write the command that they are for: > macros mail {auth_authen}=alice", of)
	}
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		name, after, ok := strings.Cut(rest, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return fmt.Errorf("%.40q is no macro: write NAME=VALUE, and a value with spaces as NAME=\"a b\"", rest)
		}
		value := after
		if strings.HasPrefix(after, `"`) {
			if value, after, ok = strings.Cut(after[1:], `"`); !ok {
				return fmt.Errorf("the value of %s has no quote at its end", name)
			}
		} else {
			value, after, _ = strings.Cut(after, " ")
		}
		value, err := unescape(value)
		if err != nil {
			return err
		}
		if strings.ContainsRune(name+value, 0) {
			return errors.New("a NUL cannot stand in a macro: the protocol ends it with one")
		}
		c.macros = append(c.macros, Macro{Name: braced(name), Value: value})
		rest = after
	}
	return nil
}

// braced returns a macro's name as every MTA spells it.
func braced(name string) string {
	if len(name) > 1 && name[0] != '{' {
		return "{" + name + "}"
	}
	return name
}

// unescape reads what [Escape] writes, with a backslash written twice.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for s != "" {
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		r, multibyte, rest, err := strconv.UnquoteChar(s, '"')
		if err != nil {
			return "", fmt.Errorf(`%.4q begins with a backslash that stands for nothing: write \\ for a backslash, \n, \t or \x00 for bytes`, s)
		}
		if multibyte || r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		s = rest
	}
	return b.String(), nil
}
