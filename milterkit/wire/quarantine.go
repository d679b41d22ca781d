package wire

// ParseQuarantine reads the payload of RepQuarantine (SMFIR_QUARANTINE): why
// the message is to be held. The reason is a view of p and may be empty. It fails
// where the NUL after it is missing or is not the end.
func ParseQuarantine(p []byte) (reason []byte, err error) {
	return only(RepQuarantine, p, "the reason")
}

// AppendQuarantine appends the frame of RepQuarantine.
func AppendQuarantine(dst, reason []byte) []byte {
	dst, at := begin(dst, RepQuarantine)
	return end(appendBytes(dst, reason), at)
}
