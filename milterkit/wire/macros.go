package wire

import "iter"

// Macros are what the MTA says about the command that follows (SMFIC_MACRO).
// They may be none: Postfix sends the frame also where no macro has a value.
type Macros struct {
	For   byte   // the command they belong to: CmdConnect, CmdMail
	pairs []byte // name NUL value NUL and so on; a view of the payload
}

// ParseMacros reads the payload of CmdMacros: a command, then pairs of name and
// value. A last name without a value has an empty one. It fails where there is
// no command or the last string has no NUL. The result is a view of p.
func ParseMacros(p []byte) (Macros, error) {
	if len(p) == 0 {
		return Macros{}, fault(CmdMacros, "no command")
	}
	if len(p) > 1 && p[len(p)-1] != 0 {
		return Macros{}, fault(CmdMacros, "no NUL at the end")
	}
	return Macros{For: p[0], pairs: p[1:len(p):len(p)]}, nil
}

// All yields the macros in the order they came, names as they came: "i",
// "{auth_authen}". Names and values are views of the payload. Nothing is
// allocated.
func (m Macros) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) { eachPair(m.pairs, yield) }
}

// eachPair calls yield with each pair of strings in p. It is apart from All so
// that All is short enough to be compiled into its caller, which is what spares
// the allocation of a closure.
func eachPair(p []byte, yield func(a, b []byte) bool) {
	for {
		name, rest, ok := cut(p)
		if !ok {
			return
		}
		value, rest, _ := cut(rest)
		if !yield(name, value) {
			return
		}
		p = rest
	}
}

// AppendMacros appends the frame with the macros of cmd. No pairs at all is a
// good frame. A nil pairs is none.
func AppendMacros(dst []byte, cmd byte, pairs iter.Seq2[string, string]) []byte {
	at := len(dst)
	dst = BeginMacros(dst, cmd)
	if pairs != nil {
		for name, value := range pairs {
			dst = AppendMacro(dst, name, value)
		}
	}
	return EndMacros(dst, at)
}

// BeginMacros appends the beginning of a frame with macros of cmd. After it come
// any number of AppendMacro, and EndMacros with the place where the frame begins.
// That is AppendMacros in parts, for those who have no iterator at hand.
func BeginMacros(dst []byte, cmd byte) []byte {
	dst, _ = begin(dst, CmdMacros)
	return append(dst, cmd)
}

// AppendMacro appends one macro to the frame that was begun.
func AppendMacro(dst []byte, name, value string) []byte {
	return appendString(appendString(dst, name), value)
}

// EndMacros ends the frame that begins at dst[at] and goes to the end of dst.
func EndMacros(dst []byte, at int) []byte { return end(dst, at) }

// Len returns how many macros there are.
func (m Macros) Len() (n int) {
	for range m.All() {
		n++
	}
	return n
}

// Strings yields copies of the names and values, which are safe to keep. All of
// them stand in one allocation.
func (m Macros) Strings() iter.Seq2[string, string] {
	text := string(m.pairs)
	return func(yield func(name, value string) bool) { eachCopy(text, m.pairs, yield) }
}

// eachCopy is eachPair for text, which is a copy of p.
func eachCopy(text string, p []byte, yield func(a, b string) bool) {
	at := 0
	for name, value := range (Macros{pairs: p}).All() {
		a, b := at+len(name), at+len(name)+1
		if !yield(text[at:a], text[b:b+len(value)]) {
			return
		}
		at = b + len(value) + 1
	}
}
