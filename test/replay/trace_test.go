package replay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A trace is the recorded traffic of milter connections, and of the SMTP client
// that caused it, where that was recorded too.
type trace struct {
	records  []record
	dialogue []line
}

// A record is one packet, or the end of a connection. A packet has the bytes
// that it had on the wire, but for a body: its first 60 bytes are recorded, and
// the rest is made up to its length.
type record struct {
	filter string // which of several; "" where there was one
	conn   int    // the filter's connection, counted from 1
	from   end
	closed bool // that end has closed the connection; there is no packet
	packet wire.Frame
}

// An end is one of the two ends of a connection.
type end bool

const (
	mta    end = false
	filter end = true
)

// A line is one of an SMTP dialogue.
type line struct {
	server bool
	text   string
}

// readTrace reads a file of testdata.
func readTrace(t *testing.T, name string) *trace {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := parseTrace(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tr
}

// parseTrace understands every line or fails. Several connections were recorded
// at the same time: where two wrote at once, their lines may stand together and
// the ends of the lines after them.
func parseTrace(text string) (*trace, error) {
	t := &trace{}
	ends := 0 // of lines, that are still to come
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		err := func() error {
			switch {
			case l == "" && ends > 0:
				ends--
				return nil
			case ends > 0:
				return errors.New("the end of a line is missing")
			case strings.HasPrefix(l, "C: "), strings.HasPrefix(l, "S: "):
				t.dialogue = append(t.dialogue, line{l[0] == 'S', l[3:]})
				return nil
			}
			s := scanner{rest: l}
			for ends = -1; s.rest != "" && s.err == nil; ends++ {
				t.records = append(t.records, s.record())
			}
			if ends < 0 {
				return errors.New("an empty line")
			}
			return s.err
		}()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if ends > 0 {
		return nil, errors.New("the end of the last line is missing")
	}
	return t, nil
}

var (
	recordStart = regexp.MustCompile(`^(?:([a-z]+) )?([1-9]\d*) (?:MTA-> | {2}<-M |(MTA|milter) closed)`)
	packetName  = regexp.MustCompile(`^([A-Z_0-9]+) `)
	masks       = regexp.MustCompile(`^v(\d) actions=0x([0-9a-f]+)\(([A-Z_|0]+)\) proto=0x([0-9a-f]+)\(([A-Z_|0]+)\)`)
	macrosFor   = regexp.MustCompile(`^for ([A-Z]+): `)
	macroName   = regexp.MustCompile(`^ ?([A-Za-z_]|\{[a-z_]+\})=`)
	anotherName = regexp.MustCompile(`^ ([A-Za-z_]|\{[a-z_]+\})=`)
	size        = regexp.MustCompile(`^(\d+) bytes `)
	index       = regexp.MustCompile(`^idx=(\d+) `)
)

func (s *scanner) record() record {
	m := s.match(recordStart)
	r := record{filter: m[1], conn: int(s.number(m[2], 10))}
	r.from = end(strings.HasSuffix(m[0], "<-M ") || m[3] == "milter")
	if r.closed = m[3] != ""; r.closed || s.err != nil {
		return r
	}
	names := commands
	if r.from == filter {
		names = replies
	}
	name := s.match(packetName)[1]
	if r.packet.Code = names[name]; r.packet.Code == 0 && s.err == nil {
		s.fail("%s is no packet of that end", name)
		return r
	}
	r.packet.Payload = s.payload(r.packet.Code)
	if err := check(r.packet, r.from); err != nil {
		s.fail("%v", err)
	}
	return r
}

// payload takes what is recorded of a packet.
func (s *scanner) payload(code byte) []byte {
	switch code {
	case wire.CmdNegotiate:
		m := s.match(masks)
		n := wire.Negotiation{Version: s.number(m[1], 10)}
		n.Actions = wire.Actions(s.mask(m[2], m[3], actionBits))
		n.Steps = wire.Steps(s.mask(m[4], m[5], stepBits))
		return n.Append(nil)[5:]
	case wire.CmdMacros:
		cmd := commands[s.match(macrosFor)[1]]
		if cmd == 0 {
			s.fail("macros for no command")
		}
		out := []byte{cmd}
		for name := macroName; s.err == nil && name.MatchString(s.rest); name = anotherName {
			out = append(append(out, s.match(name)[1]...), 0)
			out = append(append(out, s.literal()...), 0)
		}
		return out
	case wire.CmdBody:
		n := int(s.number(s.match(size)[1], 10))
		body := s.literal()
		if want := min(n, shownBody); len(body) != want {
			s.fail("%d bytes of the body, want %d", len(body), want)
			return nil
		}
		return []byte(body + strings.Repeat("x", n-len(body)))
	case wire.RepInsHeader:
		n := s.number(s.match(index)[1], 10)
		return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, s.literal()...)
	}
	return []byte(s.literal())
}

// shownBody is how much of a piece of the body was recorded.
const shownBody = 60

// mask is a bit mask that is recorded both as a number and in words.
func (s *scanner) mask(number, words string, bits []string) uint32 {
	n := s.number(number, 16)
	var names []string
	for i, name := range bits {
		if n>>i&1 != 0 {
			names = append(names, name)
		}
	}
	if all := strings.Join(names, "|"); all != words || n>>len(bits) != 0 {
		s.fail("%#x is %s, not %s", n, all, words)
	}
	return n
}

// The names by which packets and bits were recorded, which are libmilter's.
var (
	commands = map[string]byte{"ABORT": wire.CmdAbort, "BODY": wire.CmdBody, "CONNECT": wire.CmdConnect, "MACRO": wire.CmdMacros,
		"BODYEOB": wire.CmdEOM, "HELO": wire.CmdHelo, "HEADER": wire.CmdHeader, "MAIL": wire.CmdMail, "EOH": wire.CmdEOH,
		"OPTNEG": wire.CmdNegotiate, "QUIT": wire.CmdQuit, "RCPT": wire.CmdRcpt, "DATA": wire.CmdData}
	replies = map[string]byte{"OPTNEG": wire.CmdNegotiate, "CONTINUE": wire.RepContinue, "ACCEPT": wire.RepAccept,
		"SKIP": wire.RepSkip, "REPLYCODE": wire.RepReplyCode, "ADDHEADER": wire.RepAddHeader, "INSHEADER": wire.RepInsHeader}
	actionBits = []string{"ADDHDRS", "CHGBODY", "ADDRCPT", "DELRCPT", "CHGHDRS", "QUARANTINE", "CHGFROM", "ADDRCPT_PAR", "SETSYMLIST"}
	stepBits   = []string{"NOCONNECT", "NOHELO", "NOMAIL", "NORCPT", "NOBODY", "NOHDRS", "NOEOH", "NR_HDR", "NOUNKNOWN", "NODATA",
		"SKIP", "RCPT_REJ", "NR_CONN", "NR_HELO", "NR_MAIL", "NR_RCPT", "NR_DATA", "NR_UNKN", "NR_EOH", "NR_BODY", "HDR_LEADSPC"}
)

// check has the packet read by milterkit's codec.
func check(f wire.Frame, from end) (err error) {
	p := f.Payload
	switch f.Code {
	case wire.CmdNegotiate:
		_, err = wire.ParseNegotiation(p)
	case wire.CmdMacros:
		_, err = wire.ParseMacros(p)
	case wire.CmdConnect:
		_, err = wire.ParseConnect(p)
	case wire.CmdHelo:
		_, err = wire.ParseHelo(p)
	case wire.CmdMail, wire.CmdRcpt:
		_, err = wire.ParseAddress(f.Code, p)
	case wire.CmdHeader:
		_, _, err = wire.ParseHeader(p)
	case wire.CmdBody:
	case wire.RepAddHeader:
		_, err = wire.ParseAddHeader(p)
	case wire.RepInsHeader:
		_, err = wire.ParseInsHeader(p)
	case wire.RepReplyCode:
		_, err = wire.ParseReplyCode(p)
	default:
		if len(p) > 0 {
			err = fmt.Errorf("%d bytes follow it", len(p))
		}
	}
	return err
}
