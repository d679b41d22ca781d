package daemon

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A maskName is what one bit of a mask is called on the command line.
type maskName struct {
	bit  uint32
	name string
}

var actionNames = []maskName{
	{uint32(wire.ActAddHeader), "add-header"},
	{uint32(wire.ActChangeHeader), "change-header"},
	{uint32(wire.ActChangeBody), "change-body"},
	{uint32(wire.ActAddRcpt), "add-rcpt"},
	{uint32(wire.ActAddRcptArgs), "add-rcpt-args"},
	{uint32(wire.ActDelRcpt), "delete-rcpt"},
	{uint32(wire.ActChangeFrom), "change-from"},
	{uint32(wire.ActQuarantine), "quarantine"},
	{uint32(wire.ActSetMacros), "set-macros"},
}

var stepNames = []maskName{
	{uint32(wire.NoConnect), "no-connect"},
	{uint32(wire.NoHelo), "no-helo"},
	{uint32(wire.NoMail), "no-mail"},
	{uint32(wire.NoRcpt), "no-rcpt"},
	{uint32(wire.NoData), "no-data"},
	{uint32(wire.NoHeader), "no-header"},
	{uint32(wire.NoEOH), "no-eoh"},
	{uint32(wire.NoBody), "no-body"},
	{uint32(wire.NoUnknown), "no-unknown"},
	{uint32(wire.NoReplyConnect), "no-reply-connect"},
	{uint32(wire.NoReplyHelo), "no-reply-helo"},
	{uint32(wire.NoReplyMail), "no-reply-mail"},
	{uint32(wire.NoReplyRcpt), "no-reply-rcpt"},
	{uint32(wire.NoReplyData), "no-reply-data"},
	{uint32(wire.NoReplyHeader), "no-reply-header"},
	{uint32(wire.NoReplyEOH), "no-reply-eoh"},
	{uint32(wire.NoReplyBody), "no-reply-body"},
	{uint32(wire.NoReplyUnknown), "no-reply-unknown"},
	{uint32(wire.CanSkip), "skip"},
	{uint32(wire.RefusedRcpts), "refused-rcpts"},
	{uint32(wire.LeadingSpace), "leading-space"},
}

// parseMask reads names of bits, separated by commas: what is named, or with a
// minus first what is left out of base. A number is a mask as it stands. Empty:
// base.
func parseMask(s string, names []maskName, base, all uint32) (uint32, error) {
	mask := uint32(0)
	for i, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '|' }) {
		name, off := strings.CutPrefix(word, "-")
		bits, err := parseBits(name, names, all)
		if err != nil {
			return 0, err
		}
		if off && i == 0 {
			mask = base
		}
		if off {
			mask &^= bits
		} else {
			mask |= bits
		}
	}
	if strings.TrimSpace(s) == "" {
		return base, nil
	}
	return mask, nil
}

func parseBits(name string, names []maskName, all uint32) (uint32, error) {
	switch name {
	case "all":
		return all, nil
	case "none":
		return 0, nil
	}
	for _, n := range names {
		if n.name == name {
			return n.bit, nil
		}
	}
	if n, err := strconv.ParseUint(name, 0, 32); err == nil {
		return uint32(n), nil
	}
	known := make([]string, len(names))
	for i, n := range names {
		known[i] = n.name
	}
	return 0, fmt.Errorf("%q is none of all, none, %s", name, strings.Join(known, ", "))
}

// maskString names the bits of a mask; bits without a name are a number.
func maskString(mask uint32, names []maskName) string {
	var words []string
	for _, n := range names {
		if mask&n.bit != 0 {
			words = append(words, n.name)
			mask &^= n.bit
		}
	}
	if mask != 0 {
		words = append(words, fmt.Sprintf("0x%x", mask))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ",")
}
