package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// maxMacroNames bounds what one negotiation may ask for, lists and names
// together, so that a frame of MaxFrame bytes does not become many times that
// in memory. Sendmail takes 50 names a stage (MAXFILTERMACROS).
const maxMacroNames = 1000

// separators stand between the names of a macro list.
// Source: Postfix's CHARS_COMMA_SP.
const separators = ", \t\r\n"

// A Negotiation is the first frame of either end (SMFIC_OPTNEG).
//
// From the MTA it is an offer: the highest version that it speaks, the actions
// that it will do, the steps that it understands. From the filter it is the
// choice: a version, the actions that it may ask for, the steps that it is not
// to be shown and will not answer, and the macros that it wants.
// Bits that this package has no name for are kept.
type Negotiation struct {
	Version    uint32
	Actions    Actions
	Steps      Steps
	MacroLists []MacroList // in the order they came; a stage may occur twice
}

// A MacroList names the macros that a filter wants at one stage, instead of
// those that the MTA would send by itself. A list without names is a list too:
// libmilter's manual reads it as "none", Postfix as "your own".
type MacroList struct {
	Stage Stage
	Names []string // as they stand: "i", "{auth_authen}"
}

// ParseNegotiation reads the payload of CmdNegotiate. The result holds no view
// of p. Lists of a stage above StageEOH, which later versions may bring, are
// left out, so a Stage may index an array of seven. It fails where p is shorter
// than its twelve bytes of numbers, where a list is cut off, and where there are
// more than a thousand names.
func ParseNegotiation(p []byte) (Negotiation, error) {
	if len(p) < 12 {
		return Negotiation{}, fault(CmdNegotiate, fmt.Sprintf("%d bytes, want at least 12", len(p)))
	}
	n := Negotiation{
		Version: binary.BigEndian.Uint32(p),
		Actions: Actions(binary.BigEndian.Uint32(p[4:])),
		Steps:   Steps(binary.BigEndian.Uint32(p[8:])),
	}
	names := 0
	for p = p[12:]; len(p) > 0; {
		if len(p) < 4 {
			return Negotiation{}, fault(CmdNegotiate, "a macro list ends within its stage")
		}
		stage := Stage(binary.BigEndian.Uint32(p))
		list, rest, ok := cut(p[4:])
		if !ok {
			return Negotiation{}, fault(CmdNegotiate, "no NUL after a macro list")
		}
		p = rest
		if stage > StageEOH {
			continue
		}
		names++
		l := MacroList{Stage: stage}
		for name := range strings.FieldsFuncSeq(string(list), isSeparator) {
			if names++; names > maxMacroNames {
				break
			}
			l.Names = append(l.Names, name)
		}
		if names > maxMacroNames {
			return Negotiation{}, fault(CmdNegotiate, fmt.Sprintf("more than %d macro names", maxMacroNames))
		}
		n.MacroLists = append(n.MacroLists, l)
	}
	return n, nil
}

// isSeparator reports whether r stands between the names of a macro list.
func isSeparator(r rune) bool { return strings.ContainsRune(separators, r) }

// Append appends the frame. The names of a list are joined by spaces.
func (n Negotiation) Append(dst []byte) []byte {
	dst, at := begin(dst, CmdNegotiate)
	dst = binary.BigEndian.AppendUint32(dst, n.Version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n.Actions))
	dst = binary.BigEndian.AppendUint32(dst, uint32(n.Steps))
	for _, l := range n.MacroLists {
		dst = binary.BigEndian.AppendUint32(dst, uint32(l.Stage))
		dst = appendString(dst, strings.Join(l.Names, " "))
	}
	return end(dst, at)
}
