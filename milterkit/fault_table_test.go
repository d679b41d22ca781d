package milterkit_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// The table of faults: all that a milter can do wrong, at each stage, with each
// default action. It stands between two native children, and an MTA takes two
// messages past the three of them on one connection; the milter goes wrong with
// the first of them.

// A faultCell is one cell of the table.
type faultCell struct {
	fault  miltertest.Fault
	at     faultStage
	action milterkit.DefaultAction
	shy    bool // the MTA can not hold messages

	lockstep bool // nothing of the content is sent ahead of an answer
}

// A faultStage is where the fault is.
type faultStage struct {
	name string
	cmd  byte
	nth  int
	due  string          // where the MTA is told of it: a stage of faultStages
	log  milterkit.Stage // where the log has it
}

var faultStages = []faultStage{
	{"negotiate", wire.CmdNegotiate, 0, "mail", milterkit.StageConnect},
	{"connect", wire.CmdConnect, 0, "mail", milterkit.StageConnect},
	{"helo", wire.CmdHelo, 0, "mail", milterkit.StageHelo},
	{"unknown", wire.CmdUnknown, 0, "mail", milterkit.StageUnknown},
	{"mail", wire.CmdMail, 0, "mail", milterkit.StageMail},
	{"first rcpt", wire.CmdRcpt, 1, "first rcpt", milterkit.StageRcpt},
	{"second rcpt", wire.CmdRcpt, 2, "second rcpt", milterkit.StageRcpt},
	{"data", wire.CmdData, 0, "data", milterkit.StageData},
	{"header", wire.CmdHeader, 1, "eom", milterkit.StageHeader},
	{"eoh", wire.CmdEOH, 0, "eom", milterkit.StageHeader},
	{"body", wire.CmdBody, 0, "eom", milterkit.StageBody},
	{"eom", wire.CmdEOM, 0, "eom", milterkit.StageMessage},
}

// faultLimit is the timeout of a milter that is too slow.
const faultLimit = 300 * time.Millisecond

// isSlow reports whether the fault is one of time. Then time is that of a bubble,
// so that no other but the milter can be late; else all goes over sockets.
func (c *faultCell) isSlow() bool {
	switch c.fault.Name {
	case "late", "hang":
		return true
	case "endless progress":
		return c.at.cmd != wire.CmdNegotiate // there it is no answer
	}
	return false
}

// isAhead reports whether the fault is in an answer that nobody waits for before
// more is said.
func (c *faultCell) isAhead() bool {
	return c.at.isContent() && !c.lockstep && c.at.cmd != wire.CmdEOM
}

// isContent reports whether the fault is in the content of a message.
func (at *faultStage) isContent() bool { return at.due == "eom" }

// down is the fault of a milter that is not there.
const down = "down"

// Faults which are none, to an MTA: what the milter says of the message is taken.
var noFaults = map[string]bool{"refusal after edits": true, "body in two places": true}

// faultErrors is what the log says of each fault.
var faultErrors = map[string]string{
	down:                        `^dial unix .*: connect: no such file or directory$`,
	"late":                      `^no answer in time$`,
	"hang":                      `^no answer in time$`,
	"endless progress":          `^no answer in time$`,
	"close":                     `^it has closed the connection: `,
	"garbage":                   `^milter protocol: frame of 1213486160 bytes, want 1 to 1048576: starts with "HTTP/"$`,
	"oversized frame":           `^milter protocol: frame of 1073741824 bytes, want 1 to 1048576: starts with "@\\x00\\x00\\x00b"$`,
	"empty frame":               `^milter protocol: frame of 0 bytes, want 1 to 1048576: `,
	"truncated frame":           `^it has closed the connection: `,
	"half of a length":          `^it has closed the connection: `,
	"unknown reply":             `^milter protocol: '!': is no answer to [A-Z ]+$`,
	"command as a reply":        `^milter protocol: MAIL: is no answer to [A-Z ]+$`,
	"negotiation out of turn":   `^milter protocol: NEGOTIATE: is no answer to [A-Z ]+$`,
	"verdict with a payload":    `^milter protocol: CONTINUE: 1 bytes follow it$`,
	"reply without NUL":         `^milter protocol: REPLYCODE: no NUL after the text$`,
	"reply of class 2":          `^milter protocol: REPLYCODE: line 1: the reply code is not 4xx or 5xx$`,
	"reply without a last line": `^milter protocol: REPLYCODE: line 1: a line is missing after this one$`,
	"two answers":               `^it sends more answers than there were questions$`,
	"edit before the end":       `^milter protocol: ADDHEADER: is no answer to [A-Z ]+$`,
	"edits, then closes":        `^it has closed the connection: `,
	"half a replaced body":      `^it has closed the connection: `,
	"edit without a name":       `^milter protocol: ADDHEADER: `,
	"edit cut short":            `^milter protocol: CHGHEADER: `,
}

// negotiationErrors is what it says of them in the place of a negotiation.
var negotiationErrors = map[string]string{
	"late":                      `^no answer to the negotiation within 300ms$`,
	"hang":                      `^no answer to the negotiation within 300ms$`,
	"empty frame":               `^negotiation: milter protocol: frame of 0 bytes, want 1 to 1048576: `,
	"close":                     `^(negotiation|it does not agree to what the MTA can do): it has closed the connection: EOF$`,
	"garbage":                   `^negotiation: milter protocol: this is not a milter peer: first bytes look like HTTP$`,
	"oversized frame":           `^negotiation: milter protocol: frame of 1073741824 bytes, want 1 to 1048576: `,
	"truncated frame":           `^negotiation: it has closed the connection: milter protocol: REPLYCODE: stream ends 8 bytes before its end`,
	"half of a length":          `^negotiation: it has closed the connection: milter protocol: stream ends within the length and code of a frame`,
	"unknown reply":             `^milter protocol: '!': in place of the negotiation$`,
	"command as a reply":        `^milter protocol: MAIL: in place of the negotiation$`,
	"verdict with a payload":    `^milter protocol: CONTINUE: in place of the negotiation$`,
	"reply without NUL":         `^milter protocol: REPLYCODE: in place of the negotiation$`,
	"reply of class 2":          `^milter protocol: REPLYCODE: in place of the negotiation$`,
	"reply without a last line": `^milter protocol: REPLYCODE: in place of the negotiation$`,
	"two answers":               `^negotiation: it sends more answers than there were questions$`,
	"edit before the end":       `^milter protocol: ADDHEADER: in place of the negotiation$`,
	"endless progress":          `^milter protocol: PROGRESS: in place of the negotiation$`,
}

// faultTable returns all cells.
func faultTable() []faultCell {
	var cells []faultCell
	var add func(fault miltertest.Fault, at faultStage, lockstep bool)
	add = func(fault miltertest.Fault, at faultStage, lockstep bool) {
		if at.isContent() && !lockstep {
			add(fault, at, true)
		}
		for action := milterkit.DefaultTempFail; action <= milterkit.DefaultQuarantine; action++ {
			cells = append(cells, faultCell{fault: fault, at: at, action: action, lockstep: lockstep})
		}
		cells = append(cells, faultCell{fault: fault, at: at, action: milterkit.DefaultQuarantine, shy: true, lockstep: lockstep})
	}
	add(miltertest.Fault{Name: down}, faultStages[0], false)
	for _, fault := range miltertest.Faults(2 * faultLimit) {
		for _, at := range faultStages {
			// The answer to a negotiation is a negotiation, and to an unknown
			// command there is no other message to wait for.
			if fault.Is(at.cmd) && !(at.cmd == wire.CmdNegotiate && fault.Name == "negotiation out of turn") {
				add(fault, at, false)
			}
		}
	}
	return cells
}

func TestFaultsOfMilters(t *testing.T) {
	todo := make(chan faultCell)
	var pool sync.WaitGroup
	for range 16 { // some wait until the milter is found again
		pool.Go(func() {
			for c := range todo {
				t.Run(c.String(), func(t *testing.T) {
					if c.isSlow() {
						synctest.Test(t, func(t *testing.T) { newFaultRig(t, c).run() })
					} else {
						newFaultRig(t, c).run()
					}
				})
			}
		})
	}
	for _, c := range faultTable() {
		todo <- c
	}
	close(todo)
	pool.Wait()
}

func (c *faultCell) String() string {
	name := fmt.Sprintf("%s at %s, %v", c.fault.Name, c.at.name, c.action)
	if c.shy {
		name += " behind an MTA that can not hold"
	}
	if c.lockstep {
		name += ", in lockstep"
	}
	return name
}

var allContinue = []string{"mail continue", "first rcpt continue", "second rcpt continue", "data continue", "eom continue"}

// An expectation is what must come of a message.
type expectation struct {
	replies []string // at each stage from MAIL on that the MTA comes to
	result  miltertest.Result
	reply   string // to the client
	message string // where it is taken
	held    string
	spent   time.Duration // where time is that of a bubble
}

// expect returns what must come of the first message, as the laws have it.
func (r *faultRig) expect() expectation {
	e := expectation{message: "Subject: hello\nX-Two: long\nX-First: here\nX-Last: here\n\ntext\n", replies: allContinue}
	answer := ""
	if r.isSlow() {
		e.spent = faultLimit
	}
	switch {
	case r.fault.Name == "refusal after edits":
		answer, e.result, e.reply = "550 5.7.1 after all not", miltertest.Rejected, "550 5.7.1 after all not"
	case r.fault.Name == "body in two places":
		e.message = "Subject: hello\nX-Two: long\nX-First: here\nX-Between: 1\nX-Last: here\n\nhalf of a body\nhalf of a body\n"
	case r.action == milterkit.DefaultTempFail, r.shy:
		answer, e.result, e.reply = "tempfail", miltertest.TempFailed, "451 4.7.1 Service unavailable - try again later"
	case r.action == milterkit.DefaultReject:
		answer, e.result, e.reply = "reject", miltertest.Rejected, "550 5.7.1 Command rejected"
	case r.action == milterkit.DefaultDiscard:
		answer, e.result = "discard", miltertest.Discarded
	case r.action == milterkit.DefaultQuarantine:
		e.held = "faulty failed"
	}
	if answer == "" {
		return e
	}
	e.message, e.replies = "", refusedAt(r.at.due, answer)
	return e
}

// refusedAt returns the answers of a message that gets a final answer from a
// stage on. The client goes on where a recipient was refused, and to the data
// where one was taken.
func refusedAt(due, answer string) []string {
	i := slices.Index(allContinue, due+" continue")
	replies := append(slices.Clone(allContinue[:i]), due+" "+answer)
	switch {
	case answer == "discard":
	case due == "first rcpt":
		replies = append(replies, "second rcpt "+answer)
	case due == "second rcpt":
		replies = append(replies, "data "+answer)
	}
	return replies
}

// An MTA that goes on with a message whatever it is told, with an unknown command
// among its recipients, gets the default action from the stage at hand on: at
// every later RCPT, at DATA and at the end of the message.
func TestFaultHoldsForTheRestOfTheMessage(t *testing.T) {
	stages := []string{"mail", "first rcpt", "unknown", "second rcpt", "data", "eom"}
	closes := miltertest.Fault{Name: "close", Answer: miltertest.Answer{Close: true}}
	for _, at := range faultStages {
		for action := milterkit.DefaultTempFail; action <= milterkit.DefaultQuarantine; action++ {
			if at.name == "unknown" {
				at.due = "unknown"
			}
			c := faultCell{fault: closes, at: at, action: action}
			t.Run(c.String(), func(t *testing.T) {
				r := newFaultRig(t, c)
				due, answer := slices.Index(stages, at.due), action.String()
				if action == milterkit.DefaultAccept || action == milterkit.DefaultQuarantine {
					answer = "continue"
				}
				for i, got := range r.insist() {
					want := "continue"
					// An unknown command is no part of the message, unless it is what
					// failed, and a discard has no meaning there.
					if i >= due && (stages[i] != "unknown" || at.name == "unknown" && answer != "discard") {
						want = answer
					}
					if got != want {
						t.Errorf("%s: %s, want %s", stages[i], got, want)
					}
				}
			})
		}
	}
}

// insist plays a session whatever the answers are, and returns those from MAIL on
// that there are.
func (r *faultRig) insist() []string {
	m := r.player.MTA
	open(r.T, m)
	var list []string
	note := func(reply miltertest.Reply, err error) {
		r.Helper()
		if err != nil {
			r.Fatal(err)
		}
		list = append(list, reply.String())
	}
	note(m.Mail("<a@example.org>"))
	note(m.Rcpt("<first>"))
	note(m.Unknown("XYZ"))
	note(m.Rcpt("<second>"))
	note(m.Data())
	ok(r.T)(m.Header("Subject", " hello"))
	ok(r.T)(m.EOH())
	ok(r.T)(m.Body([]byte("text\r\n")))
	edits, reply, err := m.EOM()
	note(reply, err)
	if reply.Final() && len(edits) > 0 {
		r.Errorf("a message that is not taken is changed: %v", edits)
	}
	if held := slices.Contains(edits, miltertest.Quarantine("faulty failed")); held != (r.action == milterkit.DefaultQuarantine) {
		r.Errorf("held: %v", held)
	}
	return list
}
