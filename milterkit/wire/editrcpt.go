package wire

// A RcptEdit is a change to the envelope that a filter asks for: a recipient to
// add or to take away, or another sender. Its slices are views.
type RcptEdit struct {
	Addr []byte // as sent, with or without <>
	Args []byte // ESMTP parameters in one string, a space between them; nil: none were sent
}

// ParseAddRcpt reads the payload of RepAddRcpt (SMFIR_ADDRCPT): a recipient to
// add, without parameters. It fails where the NUL after the address is missing
// or is not the end.
func ParseAddRcpt(p []byte) (RcptEdit, error) {
	addr, err := only(RepAddRcpt, p, "the address")
	return RcptEdit{Addr: addr}, err
}

// ParseAddRcptArgs reads the payload of RepAddRcptArgs (SMFIR_ADDRCPT_PAR,
// version 6): a recipient to add, with parameters, which may be left out. It
// fails where a NUL is missing or something follows the parameters.
func ParseAddRcptArgs(p []byte) (RcptEdit, error) {
	return parseAddrArgs(RepAddRcptArgs, p)
}

// ParseDelRcpt reads the payload of RepDelRcpt (SMFIR_DELRCPT): a recipient to
// take away. It fails as ParseAddRcpt does.
func ParseDelRcpt(p []byte) (RcptEdit, error) {
	addr, err := only(RepDelRcpt, p, "the address")
	return RcptEdit{Addr: addr}, err
}

// parseAddrArgs reads an address and, where they follow, its parameters.
func parseAddrArgs(code byte, p []byte) (RcptEdit, error) {
	addr, rest, ok := cut(p)
	switch {
	case !ok:
		return RcptEdit{}, fault(code, "no NUL after the address")
	case len(rest) == 0:
		return RcptEdit{Addr: addr}, nil
	}
	args, err := only(code, rest, "the parameters")
	if err != nil {
		return RcptEdit{}, err
	}
	return RcptEdit{Addr: addr, Args: args}, nil
}

// AppendAddRcpt appends the frame of RepAddRcpt, which has no Args.
func AppendAddRcpt(dst []byte, e RcptEdit) []byte {
	dst, at := begin(dst, RepAddRcpt)
	return end(appendBytes(dst, e.Addr), at)
}

// AppendAddRcptArgs appends the frame of RepAddRcptArgs.
func AppendAddRcptArgs(dst []byte, e RcptEdit) []byte {
	return appendAddrArgs(dst, RepAddRcptArgs, e)
}

// AppendDelRcpt appends the frame of RepDelRcpt, which has no Args.
func AppendDelRcpt(dst []byte, e RcptEdit) []byte {
	dst, at := begin(dst, RepDelRcpt)
	return end(appendBytes(dst, e.Addr), at)
}

// appendAddrArgs appends a frame of an address and, unless Args is nil, its
// parameters.
func appendAddrArgs(dst []byte, code byte, e RcptEdit) []byte {
	dst, at := begin(dst, code)
	dst = appendBytes(dst, e.Addr)
	if e.Args != nil {
		dst = appendBytes(dst, e.Args)
	}
	return end(dst, at)
}
