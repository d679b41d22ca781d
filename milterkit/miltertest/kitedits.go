package miltertest

import (
	"errors"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// errBroken is the failure of a hook that did not return well, of which the kit
// has told already.
var errBroken = errors.New("the hook did not return")

// edited looks at what a Message hook has asked for.
func (v *visit) edited(e *milterkit.Edits, answer milterkit.Verdict) {
	if answer.Final() || answer.Kind() == milterkit.KindFail {
		return // they do not count
	}
	for x := range e.All() {
		v.said = append(v.said, asks(x))
		v.k.act()
	}
	if !v.k.trying("EditsApply") {
		return
	}
	v.s.given = append(v.s.given, &handed{e, e.Len(), e.Err()})
	if v.mild {
		if err := e.Err(); err != nil {
			v.k.hint("offer "+err.Error(), "For an MTA that does not offer such an action the edit makes a Fail of the verdict (%v). A child that can do without looks at Session.Actions first.", err)
		}
		return
	}
	if err := e.Err(); err != nil {
		v.k.fault("edit "+err.Error(), "Message asks, for %s, for an edit that cannot be made: %v. The verdict becomes a Fail, and the mail is put off.", v.mail(), err)
	}
	for x := range e.All() {
		if what := wrongEdit(x); what != "" {
			v.k.fault("edit "+what, "Message asks, for %s, for an edit that is not right: %s: %s.", v.mail(), x.Op, what)
		}
		if x.Op == milterkit.OpReplaceBody {
			v.bodies = append(v.bodies, newBodyGiven{x, checksum(slices.Concat(x.Body...))})
		}
	}
}

// wrongEdit tells what is wrong with an edit that milterkit lets pass.
func wrongEdit(x milterkit.Edit) string {
	switch x.Op {
	case milterkit.OpAddHeader, milterkit.OpInsertHeader, milterkit.OpChangeHeader, milterkit.OpDeleteHeader:
		if !isName(x.Name) {
			return "the name of a field is printable ASCII without space and colon, and this is \"" + Escape(x.Name) + "\""
		}
		if x.Index < 0 {
			return "the position is negative. Fields of one name count from 1, positions for InsertHeader from 0"
		}
	case milterkit.OpAddRecipient, milterkit.OpChangeSender:
		if strings.ContainsAny(x.Name, " \t") && !strings.Contains(x.Name, "\"") {
			return "there is a space in the address \"" + Escape(x.Name) + "\". ESMTP parameters are arguments of their own"
		}
	}
	return ""
}

// checkBodies tells of new bodies that have changed since they were given.
func (v *visit) checkBodies() {
	if v.k.halted() {
		return
	}
	for _, b := range v.bodies {
		if checksum(slices.Concat(b.edit.Body...)) != b.sum {
			v.k.fault("body", "The new body that Message gave to ReplaceBody, for %s, has changed before Reset: the MTA would have got half of each. Give it bytes that stay until then, such as a new slice for each message: other sessions go on meanwhile.", v.mail())
		}
	}
}
