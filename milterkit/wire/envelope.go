package wire

import "iter"

// An Address is the sender or a recipient with its ESMTP parameters
// (SMFIC_MAIL, SMFIC_RCPT).
type Address struct {
	Addr []byte // as sent, with or without <>: Postfix leaves them out for mail that came not by SMTP
	args []byte // arg NUL and so on; a view of the payload
}

// ParseAddress reads the payload of CmdMail or CmdRcpt; code is which of them.
// The result is a view of p. It fails where the NUL after the address or after
// the last parameter is missing.
func ParseAddress(code byte, p []byte) (Address, error) {
	addr, args, ok := cut(p)
	switch {
	case !ok:
		return Address{}, fault(code, "no NUL after the address")
	case len(args) > 0 && args[len(args)-1] != 0:
		return Address{}, fault(code, "no NUL after the last parameter")
	}
	return Address{Addr: addr, args: args[:len(args):len(args)]}, nil
}

// Args yields the parameters in the order they came: "SIZE=1000", "SMTPUTF8".
// They are views of the payload. Nothing is allocated.
func (a Address) Args() iter.Seq[[]byte] {
	return func(yield func(arg []byte) bool) { eachString(a.args, yield) }
}

// eachString calls yield with each string in p. Why it is apart from Args:
// see eachPair.
func eachString(p []byte, yield func(s []byte) bool) {
	for {
		s, rest, ok := cut(p)
		if !ok || !yield(s) {
			return
		}
		p = rest
	}
}

// AppendAddress appends the frame of CmdMail or CmdRcpt; code is which of them.
// The address is written as it stands: put the <> around it that it is to have.
func AppendAddress(dst []byte, code byte, addr string, args []string) []byte {
	dst, at := begin(dst, code)
	dst = appendString(dst, addr)
	for _, arg := range args {
		dst = appendString(dst, arg)
	}
	return end(dst, at)
}
