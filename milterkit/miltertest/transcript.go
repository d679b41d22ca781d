package miltertest

import (
	"fmt"
	"os"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A transcript is a session of an MTA with a filter as a file tells it:
//
//	# The second child never hears of a recipient the first refused.
//	> connect mail.example.org 192.0.2.7
//	< continue
//	> rcpt <nobody@example.net>
//	< 451 4.7.1 too many unknown recipients
//
// Its text is kept as it was written, so that it can be written anew with other
// answers.
type transcript struct {
	file      string
	exchanges []exchange
	rest      []string // comments and empty lines at the end
}

// An exchange is one command and the answers that are right.
type exchange struct {
	before []string // comments and empty lines
	line   int      // of the command, from 1
	text   string   // of the command, without its "> "
	want   []string // without their "< "
	command
}

// readTranscript reads a file.
func readTranscript(file string) (*transcript, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseTranscript(file, string(text))
}

// parseTranscript reads the text of a transcript. An error names the file and the
// line, and says what would be right.
func parseTranscript(file, text string) (*transcript, error) {
	p := &transcriptParser{t: &transcript{file: file}}
	text = strings.TrimRight(text, " \t\r\n")
	for i, line := range strings.Split(text, "\n") {
		if err := p.take(i+1, strings.TrimRight(line, " \t\r")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	p.t.rest = p.before
	if len(p.t.exchanges) == 0 {
		return nil, fmt.Errorf("%s: has no command; write one such as > connect mail.example.org 192.0.2.7", file)
	}
	return p.t, nil
}

type transcriptParser struct {
	t      *transcript
	opened bool     // has the sentence at the top been seen?
	before []string // comments and empty lines since the last command
	order  commandOrder
}

// take takes one line.
func (p *transcriptParser) take(number int, line string) error {
	if !p.opened && line != "" {
		if !strings.HasPrefix(line, "#") || strings.Trim(line, "# \t") == "" {
			return fmt.Errorf("a script begins with the rule that it holds, in a sentence: # A virus is refused")
		}
		p.opened = true
	}
	switch {
	case line == "" || line[0] == '#':
		p.before = append(p.before, line)
		return nil
	case line[0] == '>':
		text := strings.TrimLeft(line[1:], " \t")
		c, err := parseCommand(text)
		if err == nil {
			err = p.order.next(c.cmd)
		}
		if err != nil {
			return err
		}
		p.t.exchanges = append(p.t.exchanges, exchange{before: p.before, line: number, text: text, command: c})
		p.before = nil
		return nil
	case line[0] == '<':
		return p.answer(strings.TrimLeft(line[1:], " \t"))
	}
	return fmt.Errorf("%.40q is no line of a script: begin it with > for a command, < for an answer, # for a remark", line)
}

// answer takes an answer to the command above it.
func (p *transcriptParser) answer(text string) error {
	last := len(p.t.exchanges) - 1
	switch {
	case last < 0:
		return fmt.Errorf("an answer comes after its command: write one before it, such as > connect mail.example.org 192.0.2.7")
	case p.before != nil:
		return fmt.Errorf("an answer stands right under its command or another answer: move the remark or empty line away")
	}
	x := &p.t.exchanges[last]
	if !answered(x.cmd) {
		return fmt.Errorf("nobody answers %s: leave the line out", word(x.text))
	}
	if err := checkAnswer(x.cmd, text); err != nil {
		return err
	}
	x.want = append(x.want, text)
	return nil
}

// String returns the text of the transcript.
func (t *transcript) String() string {
	var b strings.Builder
	for _, x := range t.exchanges {
		for _, line := range x.before {
			b.WriteString(line + "\n")
		}
		b.WriteString(strings.TrimRight("> "+x.text, " ") + "\n")
		for _, line := range x.want {
			b.WriteString(strings.TrimRight("< "+line, " ") + "\n")
		}
	}
	for _, line := range t.rest {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// A commandOrder keeps commands in an order in which an MTA can give them.
type commandOrder struct {
	session, mail, headed bool
	content               bool
}

// next reports what is wrong with a command that comes next.
func (o *commandOrder) next(cmd byte) error {
	switch cmd {
	case wire.CmdMacros, cmdWait:
		return nil
	case wire.CmdConnect:
		if o.session {
			return fmt.Errorf("connect within a session: end it first, with > quit")
		}
		*o = commandOrder{session: true}
		return nil
	}
	if !o.session {
		return fmt.Errorf("%s before connect: write > connect mail.example.org 192.0.2.7 first", Word(cmd))
	}
	switch cmd {
	case wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM:
		if !o.mail {
			return fmt.Errorf("%s before mail: write > mail <a@example.org> first", Word(cmd))
		}
	}
	switch cmd {
	case wire.CmdHelo, wire.CmdAbort:
		*o = commandOrder{session: true}
	case wire.CmdQuit, wire.CmdQuitNew:
		*o = commandOrder{}
	case wire.CmdMail:
		*o = commandOrder{session: true, mail: true}
	case wire.CmdRcpt, wire.CmdData, wire.CmdUnknown:
		if o.content {
			return fmt.Errorf("%s within the content of a message: it comes before header, or after eom", Word(cmd))
		}
	case wire.CmdHeader:
		if o.headed {
			return fmt.Errorf("header after the end of the header: it comes before eoh and body")
		}
		o.content = true
	case wire.CmdEOH, wire.CmdBody:
		if cmd == wire.CmdEOH && o.headed {
			return fmt.Errorf("the header has ended: eoh comes once, before body")
		}
		o.content, o.headed = true, true
	case wire.CmdEOM:
		*o = commandOrder{session: true}
	}
	return nil
}
