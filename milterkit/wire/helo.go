package wire

// ParseHelo reads the payload of CmdHelo (SMFIC_HELO): the name that the client
// gave with HELO or EHLO, as it gave it. The name is a view of p. It fails where
// the NUL after it is missing or is not the end.
func ParseHelo(p []byte) (name []byte, err error) {
	return only(CmdHelo, p, "the name")
}

// AppendHelo appends the frame of CmdHelo.
func AppendHelo(dst, name []byte) []byte {
	dst, at := begin(dst, CmdHelo)
	return end(appendBytes(dst, name), at)
}
