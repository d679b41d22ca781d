package replay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A scenario is one recorded SMTP session: what the client said, as far as it
// matters, and what it was told.
type scenario struct {
	helo, from string // as the client gave them
	to         []string

	// The commands from MAIL on that had a reply, with its lines; the last one is
	// the end of the data, where it came to that.
	exchanges []exchange
}

// An exchange is a command and its reply.
type exchange struct {
	Command string
	Reply   []string
}

const endOfData = "(end of data)"

var (
	options   = regexp.MustCompile(`^ --(helo|from|to) ([a-z0-9@.-]+)`)
	mailOrTo  = regexp.MustCompile(`^(?:MAIL FROM|RCPT TO):<[^<>]+>$`)
	replyLine = regexp.MustCompile(`^[245]\d\d[ -]\S`)
	gone      = regexp.MustCompile(`^<(closed|\[Errno 104\] Connection reset by peer)>$`)
	pyError   = regexp.MustCompile(`^(BrokenPipeError|ConnectionResetError): `)
)

// readDialogue reads a file of testdata.
func readDialogue(t *testing.T, name string) []scenario {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	list, err := parseDialogue(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return list
}

// parseDialogue understands every line or fails.
func parseDialogue(text string) ([]scenario, error) {
	var p dialogueParser
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if err := p.line(l); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if p.traceback {
		return nil, errors.New("the last traceback has no end")
	}
	return p.list, nil
}

type dialogueParser struct {
	list      []scenario
	traceback bool // the client's own last words, when the server had hung up
}

func (p *dialogueParser) line(l string) error {
	if args, ok := strings.CutPrefix(l, "==="); ok && !p.traceback {
		return p.begin(args)
	}
	if len(p.list) == 0 {
		return errors.New("before the first scenario")
	}
	now := &p.list[len(p.list)-1]
	switch {
	case p.traceback:
		if pyError.MatchString(l) {
			p.traceback = false
			now.hungUp()
		} else if !strings.HasPrefix(l, "  ") {
			return fmt.Errorf("%q within a traceback", l)
		}
		return nil
	case l == "Traceback (most recent call last):":
		p.traceback = true
		return nil
	case strings.HasPrefix(l, "C: "):
		if !mailOrTo.MatchString(l[3:]) {
			return fmt.Errorf("%q is no command", l)
		}
		now.exchanges = append(now.exchanges, exchange{Command: l[3:]})
		return nil
	case strings.HasPrefix(l, "S: "):
		return now.reply(l[3:])
	}
	return fmt.Errorf("%q is not understood", l)
}

// begin begins a scenario with the client's options; what it was not told is as
// the client has it by itself.
func (p *dialogueParser) begin(args string) error {
	s := scenario{helo: "client.example.org", from: "alice@example.org"}
	for args != "" {
		m := options.FindStringSubmatch(args)
		if m == nil {
			return fmt.Errorf("options %q", args)
		}
		switch args = args[len(m[0]):]; m[1] {
		case "helo":
			s.helo = m[2]
		case "from":
			s.from = m[2]
		case "to":
			s.to = append(s.to, m[2])
		}
	}
	if s.to == nil {
		s.to = []string{"bob@example.test"}
	}
	p.list = append(p.list, s)
	return nil
}

// reply takes one line of a reply.
func (s *scenario) reply(l string) error {
	rest, end := strings.CutPrefix(l, endOfData+" ")
	last := len(s.exchanges) - 1
	switch {
	case last < 0:
		return errors.New("a reply to nothing")
	case gone.MatchString(rest):
		s.hungUp()
		return nil
	case !replyLine.MatchString(rest):
		return fmt.Errorf("%q is no reply", l)
	case end && s.exchanges[last].Command != endOfData:
		s.exchanges = append(s.exchanges, exchange{Command: endOfData})
		last++
	}
	x := &s.exchanges[last]
	if n := len(x.Reply); n > 0 && (x.Reply[n-1][3] != '-' || x.Reply[n-1][:3] != rest[:3]) {
		return fmt.Errorf("%q after the reply was over", l)
	}
	x.Reply = append(x.Reply, rest)
	return nil
}

// hungUp notes that the server has hung up: the last command may have no reply.
func (s *scenario) hungUp() {
	if last := len(s.exchanges) - 1; s.exchanges[last].Reply == nil {
		s.exchanges = s.exchanges[:last]
	}
}
