package test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// record is what a milter was told in one session.
type record struct {
	entries  []entry
	queueIDs []string // in the order in which they came
}

// entry is one command, with its arguments and the macros that are in force for
// it.
type entry struct {
	cmd    byte
	args   []string
	macros []miltertest.Macro
}

// String is the entry on a line: `rcpt <bob@example.test> NOTIFY=NEVER | i=4B2`.
func (e entry) String() string {
	if macros := e.macroText(); macros != "" {
		return e.command() + " |" + macros
	}
	return e.command()
}

// command is the entry without its macros.
func (e entry) command() string {
	line := miltertest.Word(e.cmd)
	if e.cmd == miltertest.Closed {
		line = "closed"
	}
	for _, a := range e.args {
		line += " " + quoted(a)
	}
	return line
}

// macroText is each of the macros behind a space.
func (e entry) macroText() string {
	text := ""
	for _, m := range e.macros {
		text += " " + m.Name + "=" + quoted(m.Value)
	}
	return text
}

// quoted keeps one argument from looking like two.
func quoted(s string) string {
	if q := strconv.Quote(s); s == "" || strings.Contains(s, " ") || q != `"`+s+`"` {
		return q
	}
	return s
}

// reading is how the bytes of a session become its record. All that is done to
// them before two records are compared is done here, and what each of it leaves
// out of the comparison is said here:
//
//   - Queue ids are numbered as they come, and the client's own port is PORT;
//     dates with which Postfix has marked a message are DATE.
//   - Macros are put to the command that they belong to, as a milter built on
//     libmilter has them: a stage's list stays in force until the next list for
//     it that is not empty, or a new message. Postfix sends a list, also an empty
//     one, before each command, and that of the header before each field;
//     milterkit sends no empty lists, and those of header and body once. One for
//     a command that never came stands at the end of its message.
//   - A message ends with an abort, a HELO or a QUIT, for all of which there is an
//     abort, and no other: Postfix sends that of a HELO after it, two before QUIT,
//     and none before QUIT for mail that does not come by SMTP.
//   - A milter that has nothing more to do with a session after connect or helo is
//     let go with a QUIT by milterkit, and without one by Postfix.
//   - The pieces of a body are put together: milterkit sends pieces as they lie
//     in its memory.
type reading struct {
	port  int // of the client; 0: it is not known
	lists map[byte][]miltertest.Macro
	fresh []byte // the commands whose lists have come and that have not come themselves
	open  bool   // a message is under way

	record
}

// macroStages are the commands in the order in which each ends the macros of those
// after it. Source: libmilter's mi_clr_macros.
var macroStages = []byte{wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM}

// read reads what came in a session.
func (r *recorded) read(port int) (*record, error) {
	r.recorder.mu.Lock()
	frames := wire.NewReader(bytes.NewReader(r.bytes), make([]byte, 16<<10))
	r.recorder.mu.Unlock()
	in := &reading{port: port, lists: make(map[byte][]miltertest.Macro)}
	for {
		f, err := frames.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = in.frame(f)
		}
		if err != nil {
			return nil, fmt.Errorf("%w, after\n%s", err, in.String())
		}
	}
	in.unused()
	switch last := in.entries[len(in.entries)-1]; last.cmd {
	case wire.CmdQuit:
	case wire.CmdConnect, wire.CmdHelo:
		in.add(wire.CmdQuit)
	default:
		in.add(miltertest.Closed)
	}
	return in.normal(), nil
}

// add adds an entry with the macros in force.
func (in *reading) add(cmd byte, args ...string) {
	in.fresh = slices.DeleteFunc(in.fresh, func(c byte) bool { return c == cmd })
	in.entries = append(in.entries, entry{cmd, args, in.lists[cmd]})
}

// frame reads one frame.
func (in *reading) frame(f wire.Frame) error {
	switch f.Code {
	case wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt:
		for _, later := range macroStages[slices.Index(macroStages, f.Code)+1:] {
			delete(in.lists, later)
		}
	}
	switch f.Code {
	case wire.CmdMacros:
		return in.macros(f.Payload)
	case wire.CmdMail:
		in.open = true
	case wire.CmdBody:
		if last := &in.entries[len(in.entries)-1]; last.cmd == wire.CmdBody {
			last.args[0] += string(f.Payload)
			in.fresh = nil
			return nil
		}
	case wire.CmdAbort, wire.CmdHelo, wire.CmdQuit:
		if in.open {
			in.open = false
			in.unused()
			in.add(wire.CmdAbort)
		}
		if f.Code == wire.CmdAbort {
			return nil
		}
	}
	args, err := arguments(f)
	if err == nil {
		in.add(f.Code, args...)
	}
	return err
}

// macros reads a list of macros.
func (in *reading) macros(payload []byte) error {
	m, err := wire.ParseMacros(payload)
	if err != nil {
		return err
	}
	var list []miltertest.Macro
	for name, value := range m.All() {
		list = append(list, miltertest.Macro{Name: string(name), Value: string(value)})
		if id := string(value); string(name) == "i" && !slices.Contains(in.queueIDs, id) {
			in.queueIDs = append(in.queueIDs, id)
		}
	}
	if list != nil {
		in.lists[m.For] = list
		in.fresh = append(in.fresh, m.For)
	}
	return nil
}

// unused adds an entry for each list of macros whose command did not come.
func (in *reading) unused() {
	for _, cmd := range slices.Compact(in.fresh) {
		in.entries = append(in.entries, entry{wire.CmdMacros, []string{miltertest.Word(cmd)}, in.lists[cmd]})
	}
	in.fresh = nil
}

// arguments are those of a command, each by itself.
func arguments(f wire.Frame) ([]string, error) {
	switch f.Code {
	case wire.CmdNegotiate:
		n, err := wire.ParseNegotiation(f.Payload)
		return []string{fmt.Sprintf("version=%d", n.Version), fmt.Sprintf("actions=%#x", uint32(n.Actions)), fmt.Sprintf("steps=%#x", uint32(n.Steps))}, err
	case wire.CmdConnect:
		c, err := wire.ParseConnect(f.Payload)
		return []string{string(c.Host), string(rune(c.Family)), string(c.Addr), strconv.Itoa(int(c.Port))}, err
	case wire.CmdHelo:
		name, err := wire.ParseHelo(f.Payload)
		return []string{string(name)}, err
	case wire.CmdMail, wire.CmdRcpt:
		a, err := wire.ParseAddress(f.Code, f.Payload)
		args := []string{string(a.Addr)}
		for arg := range a.Args() {
			args = append(args, string(arg))
		}
		return args, err
	case wire.CmdHeader:
		name, value, err := wire.ParseHeader(f.Payload)
		return []string{string(name), string(value)}, err
	case wire.CmdUnknown:
		line, err := wire.ParseUnknown(f.Payload)
		return []string{string(line)}, err
	case wire.CmdBody:
		return []string{string(f.Payload)}, nil
	}
	if len(f.Payload) > 0 {
		return []string{string(f.Payload)}, nil
	}
	return nil, nil
}

var (
	// markedDate is a date of Postfix's own making.
	markedDate = regexp.MustCompile(`\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000 \(UTC\)`)
	// markedID is how Postfix makes what is to be unique from a queue id.
	markedID = regexp.MustCompile(`(QUEUE-ID[-\d]*)\.\d{10}/`)
)

// normalText leaves out of a text, where it begins, what differs from message to
// message.
func normalText(text string, queueIDs []string) string {
	const most = 10_000
	if len(text) > most {
		return normalText(text[:most], queueIDs) + text[most:]
	}
	for i, id := range queueIDs {
		name := "QUEUE-ID"
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		text = strings.ReplaceAll(text, id, name)
	}
	return markedID.ReplaceAllString(markedDate.ReplaceAllString(text, "DATE"), "$1.TIME/")
}

// normal leaves out of the record what differs from session to session.
func (in *reading) normal() *record {
	own := strconv.Itoa(in.port)
	for i, e := range in.entries {
		for j, a := range e.args {
			e.args[j] = normalText(a, in.queueIDs)
		}
		if e.cmd == wire.CmdConnect && e.args[3] == own && in.port != 0 {
			e.args[3] = "PORT"
		}
		e.macros = slices.Clone(e.macros)
		for j, m := range e.macros {
			e.macros[j].Value = normalText(m.Value, in.queueIDs)
			if m.Name == "{client_port}" && m.Value == own && in.port != 0 {
				e.macros[j].Value = "PORT"
			}
		}
		if e.cmd == wire.CmdBody && len(e.args[0]) > 1000 {
			e.args = append(e.args, fmt.Sprintf("%d bytes", len(e.args[0])), fmt.Sprintf("sha256 %x", sha256.Sum256([]byte(e.args[0]))))
			e.args[0] = e.args[0][:1000]
		}
		in.entries[i] = e
	}
	return &in.record
}

// String is the record, a line for each entry.
func (r *record) String() string {
	var b strings.Builder
	for _, e := range r.entries {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// more are the macros that a milter may be given behind milterkit and not by
// Postfix, where it has not said which it wants: milterkit asks Postfix for all
// that any milter may expect.
var more = map[byte][]string{
	wire.CmdConnect: {"{daemon_port}", "{client_addr}", "{client_name}", "{client_port}", "{client_ptr}", "{client_connections}", "{client_resolve}"},
	wire.CmdHelo:    {"{tls_sni}"},
	wire.CmdMail:    {"{auth_ssf}"},
}

// sameRecord reports where a milter was told something else behind milterkit
// than directly. One that has said which macros it wants gets just these, in
// its order; another one may get what the others of its chain want.
func sameRecord(t *testing.T, direct, behind *record, own miltertest.Script, chain []miltertest.Script) {
	t.Helper()
	if len(own.Macros) == 0 {
		direct, behind = direct.clone(), behind.clone()
		for i, e := range direct.entries {
			direct.entries[i] = e.sorted(nil)
		}
		for i, e := range behind.entries {
			var beside []miltertest.Macro
			if i < len(direct.entries) {
				beside = direct.entries[i].macros
			}
			behind.entries[i] = e.sorted(func(name string) bool {
				return (slices.Contains(more[e.cmd], name) || listedIn(chain, e.cmd, name)) &&
					!slices.ContainsFunc(beside, func(m miltertest.Macro) bool { return m.Name == name })
			})
		}
	}
	if d := cmp.Diff(strings.Split(direct.String(), "\n"), strings.Split(behind.String(), "\n")); d != "" {
		t.Errorf("what the milter was told directly (-) and behind milterkit (+):\n%s", d)
	}
}

// listedIn reports whether any of these milters wants a macro with a command.
func listedIn(chain []miltertest.Script, cmd byte, name string) bool {
	stage, _ := wire.MacroStage(cmd)
	switch cmd {
	case wire.CmdHeader:
		stage = wire.StageEOH
	case wire.CmdBody:
		stage = wire.StageEOM
	}
	return slices.ContainsFunc(chain, func(s miltertest.Script) bool {
		return slices.ContainsFunc(s.Macros, func(l wire.MacroList) bool { return l.Stage == stage && slices.Contains(l.Names, name) })
	})
}

func (r *record) clone() *record { return &record{entries: slices.Clone(r.entries)} }

// sorted returns the entry with its macros in the order of their names, without
// some.
func (e entry) sorted(leaveOut func(name string) bool) entry {
	e.macros = slices.DeleteFunc(slices.Clone(e.macros), func(m miltertest.Macro) bool { return leaveOut != nil && leaveOut(m.Name) })
	slices.SortFunc(e.macros, func(a, b miltertest.Macro) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// wantEntries checks that a record has entries, in this order, among others. An
// entry is written as String has it, with the macros that it must have.
func wantEntries(t *testing.T, r *record, wants ...string) {
	t.Helper()
	at := 0
	for _, want := range wants {
		line, macros, _ := strings.Cut(want, " |")
		i := slices.IndexFunc(r.entries[at:], func(e entry) bool {
			return e.command() == line && !slices.ContainsFunc(strings.Fields(macros), func(m string) bool {
				return !strings.Contains(e.macroText()+" ", " "+m+" ")
			})
		})
		if i < 0 {
			t.Errorf("the milter was not told %q, or not there:\n%s", want, r)
			return
		}
		at += i + 1
	}
}
