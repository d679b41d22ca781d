package wire

// ParseUnknown reads the payload of CmdUnknown (SMFIC_UNKNOWN, version 3): the
// SMTP command line that the MTA does not know, without its CRLF. Postfix before
// 3.9 sends only the first word. The line is a view of p. It fails where the NUL
// after it is missing or is not the end.
func ParseUnknown(p []byte) (line []byte, err error) {
	return only(CmdUnknown, p, "the command line")
}

// AppendUnknown appends the frame of CmdUnknown.
func AppendUnknown(dst, line []byte) []byte {
	dst, at := begin(dst, CmdUnknown)
	return end(appendBytes(dst, line), at)
}
