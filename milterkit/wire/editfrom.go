package wire

// ParseChgFrom reads the payload of RepChgFrom (SMFIR_CHGFROM, version 6):
// another sender, with parameters, which may be left out. Postfix takes RET= and
// ENVID= of them. It fails where a NUL is missing or something follows the
// parameters. The result is a view of p.
func ParseChgFrom(p []byte) (RcptEdit, error) {
	return parseAddrArgs(RepChgFrom, p)
}

// AppendChgFrom appends the frame of RepChgFrom.
func AppendChgFrom(dst []byte, e RcptEdit) []byte {
	return appendAddrArgs(dst, RepChgFrom, e)
}
