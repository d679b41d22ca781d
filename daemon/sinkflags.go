package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// sinkStages are the stages that have a verdict, in their order.
var sinkStages = []byte{
	wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader,
	wire.CmdEOH, wire.CmdBody, wire.CmdEOM, wire.CmdUnknown,
}

// sinkOptions are the flags of sink.
type sinkOptions struct {
	verdicts map[byte]*[]string // by stage

	addHeader, insertHeader, changeHeader, deleteHeader []string
	addRcpt, deleteRcpt                                 []string
	changeFrom, replaceBody, quarantine                 string
	progress                                            int

	noReply, no  string
	leadingSpace bool
	version      uint32
	macros       []string
	always       bool

	mode                 string
	once, quiet, verbose bool
}

func (o *sinkOptions) declare(f *pflag.FlagSet) {
	f.SortFlags = false
	o.verdicts = map[byte]*[]string{}
	for _, cmd := range sinkStages {
		word := miltertest.Word(cmd)
		o.verdicts[cmd] = f.StringArray(word, nil, "`VERDICT` at "+word+"; may be repeated")
	}
	f.StringArrayVar(&o.addHeader, "add-header", nil, "`FIELD` to add at the end, as \"Name: value\"; may be repeated, like all edits")
	f.StringArrayVar(&o.insertHeader, "insert-header", nil, "`FIELD` to insert, as \"POSITION Name: value\"; 0 is the top")
	f.StringArrayVar(&o.changeHeader, "change-header", nil, "`FIELD` to change, as \"N Name: value\", the Nth of that name")
	f.StringArrayVar(&o.deleteHeader, "delete-header", nil, "`FIELD` to delete, as \"N Name\"")
	f.StringArrayVar(&o.addRcpt, "add-rcpt", nil, "`RECIPIENT` to add, and ESMTP parameters after it")
	f.StringArrayVar(&o.deleteRcpt, "delete-rcpt", nil, "`RECIPIENT` to take away")
	f.StringVar(&o.changeFrom, "change-from", "", "`SENDER` to put in place, and ESMTP parameters after it")
	f.StringVar(&o.replaceBody, "replace-body", "", "`FILE` with the new body")
	f.StringVar(&o.quarantine, "quarantine", "", "`REASON` for which the message is held")
	f.IntVar(&o.progress, "progress", 0, "`NUMBER` of times that the mail server is asked for patience at the end of a message, a second apart")

	f.StringVar(&o.noReply, "no-reply", "", "`STAGES` that are not answered, by commas, or all")
	f.BoolVar(&o.always, "reply-anyway", false, "answer those all the same, which is wrong")
	f.StringVar(&o.no, "no", "", "`STAGES` that are not wanted, by commas, or all")
	f.BoolVar(&o.leadingSpace, "leading-space", false, "take and give header values with the space after the colon")
	f.Uint32Var(&o.version, "protocol-version", 0, "`VERSION` answered (default: the one that the mail server offers)")
	f.StringArrayVar(&o.macros, "macros", nil, "macros to ask for, as \"`STAGE: NAMES`\"; may be repeated")

	f.StringVar(&o.mode, "mode", "0600", "`MODE` of a unix socket")
	f.BoolVar(&o.once, "once", false, "end after the first session")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print all macros, also where there are none")
}

// script returns what the flags say.
func (o *sinkOptions) script() (miltertest.Script, error) {
	s := miltertest.Script{Version: o.version, On: map[byte][]miltertest.Answer{}}
	for _, cmd := range sinkStages {
		for _, v := range *o.verdicts[cmd] {
			a, err := parseVerdict(v)
			if err != nil {
				return s, usage("--%s %q: %w", miltertest.Word(cmd), v, err)
			}
			a.Always = o.always
			s.On[cmd] = append(s.On[cmd], a)
		}
		if o.always {
			s.On[cmd] = append(s.On[cmd], miltertest.Answer{Always: true})
		}
	}
	edits, err := o.edits()
	if err != nil {
		return s, err
	}
	s.On[wire.CmdEOM] = append(s.On[wire.CmdEOM], miltertest.Answer{})
	for i := range s.On[wire.CmdEOM] {
		a := &s.On[wire.CmdEOM][i]
		a.Edits = edits
		if o.progress > 0 {
			a.Progress, a.Every = o.progress, time.Second
		}
	}
	if s.Steps, err = o.steps(); err != nil {
		return s, err
	}
	s.Macros, err = parseMacroLists(o.macros)
	return s, err
}

// steps returns the steps that are negotiated.
func (o *sinkOptions) steps() (wire.Steps, error) {
	not, err := parseStages(o.no, wire.NoStep)
	if err != nil {
		return 0, usage("--no: %w", err)
	}
	silent, err := parseStages(o.noReply, wire.NoReply)
	if err != nil {
		return 0, usage("--no-reply: %w", err)
	}
	steps := not | silent
	if o.leadingSpace {
		steps |= wire.LeadingSpace
	}
	for _, a := range *o.verdicts[wire.CmdBody] {
		if strings.HasSuffix(a, "skip") {
			steps |= wire.CanSkip
		}
	}
	return steps, nil
}

// parseStages reads names of stages, and returns their flags.
func parseStages(s string, flag func(cmd byte) wire.Steps) (wire.Steps, error) {
	var steps wire.Steps
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		if word == "all" {
			for _, cmd := range sinkStages {
				steps |= flag(cmd)
			}
			continue
		}
		bit := flag(miltertest.Command(word))
		if bit == 0 {
			return 0, fmt.Errorf("%q is not a stage that has that", word)
		}
		steps |= bit
	}
	return steps, nil
}

// parseMacroLists reads lists such as "connect: j {client_addr}".
func parseMacroLists(lists []string) ([]wire.MacroList, error) {
	var parsed []wire.MacroList
	for _, list := range lists {
		word, names, ok := strings.Cut(list, ":")
		stage, has := wire.MacroStage(miltertest.Command(strings.TrimSpace(word)))
		if !ok || !has {
			return nil, usage("--macros %q: write STAGE: NAMES; stages are connect, helo, mail, rcpt, data, eoh and eom", list)
		}
		parsed = append(parsed, wire.MacroList{Stage: stage, Names: strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })})
	}
	return parsed, nil
}

// parseVerdict reads a verdict with the words before it.
func parseVerdict(s string) (a miltertest.Answer, err error) {
	rest := s
	for err == nil {
		word, more, found := strings.Cut(rest, ",")
		name, value, ok := strings.Cut(word, ":")
		if !ok {
			break
		}
		known := true
		switch strings.TrimSpace(name) {
		case "delay":
			a.Delay, err = time.ParseDuration(value)
		case "progress":
			a.Progress, err = strconv.Atoi(value)
		case "if":
			a.If = value
		case "nth":
			a.Nth, err = strconv.Atoi(value)
		case "message":
			a.Message, err = strconv.Atoi(value)
		default:
			known = false
		}
		if !known {
			break
		}
		rest = more
		if !found {
			break
		}
	}
	if err != nil {
		return a, err
	}
	return a, setVerdict(&a, strings.TrimSpace(rest))
}

// setVerdict sets the verdict itself. None is continue.
func setVerdict(a *miltertest.Answer, word string) error {
	switch word {
	case "", "continue":
	case "accept":
		a.Verdict = miltertest.Accept
	case "reject":
		a.Verdict = miltertest.Reject
	case "tempfail":
		a.Verdict = miltertest.TempFail
	case "discard":
		a.Verdict = miltertest.Discard
	case "skip":
		a.Verdict = miltertest.Skip
	case "shutdown":
		a.Verdict = miltertest.Shutdown
	case "close":
		a.Close = true
	case "hang":
		a.Hang = true
	default:
		v, err := milterkit.ParseReply(word)
		if err != nil {
			return errVerdict
		}
		a.Text = v.Text()
	}
	return nil
}

// edits returns the edits at the end of a message, in the order in which Postfix
// takes them best: the body last.
func (o *sinkOptions) edits() ([]miltertest.Edit, error) {
	var edits []miltertest.Edit
	if o.changeFrom != "" {
		addr, args := splitAddress(o.changeFrom)
		edits = append(edits, miltertest.ChangeSender(addr, args...))
	}
	for _, r := range o.deleteRcpt {
		addr, _ := splitAddress(r)
		edits = append(edits, miltertest.DeleteRecipient(addr))
	}
	for _, r := range o.addRcpt {
		addr, args := splitAddress(r)
		edits = append(edits, miltertest.AddRecipient(addr, args...))
	}
	headers := []struct {
		flag   string
		values []string
		make   func(n int, name, value string) miltertest.Edit
		number bool
		value  bool
	}{
		{"change-header", o.changeHeader, miltertest.ChangeHeader, true, true},
		{"delete-header", o.deleteHeader, func(n int, name, _ string) miltertest.Edit { return miltertest.DeleteHeader(n, name) }, true, false},
		{"insert-header", o.insertHeader, miltertest.InsertHeader, true, true},
		{"add-header", o.addHeader, func(_ int, name, value string) miltertest.Edit { return miltertest.AddHeader(name, value) }, false, true},
	}
	for _, h := range headers {
		for _, text := range h.values {
			n, name, value, err := parseField(text, h.number, h.value)
			if err != nil {
				return nil, usage("--%s %q: %w", h.flag, text, err)
			}
			edits = append(edits, h.make(n, name, value))
		}
	}
	if o.quarantine != "" {
		edits = append(edits, miltertest.Quarantine(o.quarantine))
	}
	if o.replaceBody != "" {
		text, err := os.ReadFile(o.replaceBody)
		if err != nil {
			return nil, usage("--replace-body: %w", err)
		}
		body := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n", "\r\n")
		edits = append(edits, miltertest.ReplaceBody(body))
	}
	return edits, nil
}

// parseField reads "N Name: value", or parts of it.
func parseField(text string, number, hasValue bool) (n int, name, value string, err error) {
	if number {
		first, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		if n, err = strconv.Atoi(first); err != nil || n < 0 {
			return 0, "", "", fmt.Errorf("it begins with a number")
		}
		text = rest
	}
	name, value, ok := strings.Cut(text, ":")
	name = strings.TrimSpace(name)
	switch {
	case name == "" || strings.ContainsAny(name, " \t\r\n"):
		return 0, "", "", fmt.Errorf("%q is not the name of a field", name)
	case hasValue && !ok:
		return 0, "", "", fmt.Errorf("there is no colon")
	case !hasValue && strings.TrimSpace(value) != "":
		return 0, "", "", fmt.Errorf("a field that is deleted has no value")
	}
	return n, name, strings.TrimPrefix(value, " "), nil
}
