package wire

import "bytes"

// ParseHeader reads the payload of CmdHeader (SMFIC_HEADER): one field of the
// header. Both results are views of p.
//
// The value may be empty, 8-bit, and longer than 64 KiB (Postfix sends up to
// its header_size_limit). Its folds are bare LFs. The space after the colon is
// part of it only where LeadingSpace was negotiated; else the MTA has eaten it.
// A NUL within the value is kept and only the last one taken off: a filter built
// on libmilter, whose strings are C strings, sees what stands before the first.
//
// It fails where the NUL after the name or the one after the value is missing.
func ParseHeader(p []byte) (name, value []byte, err error) {
	name, rest, ok := cut(p)
	if !ok {
		return nil, nil, fault(CmdHeader, "no NUL after the field's name")
	}
	last := len(rest) - 1
	if last < 0 || rest[last] != 0 {
		return nil, nil, fault(CmdHeader, "no NUL after the field's value")
	}
	return name, rest[:last:last], nil
}

// AppendHeader appends the frame of CmdHeader. The value is written whole, a
// NUL within it too, as ParseHeader gave it.
func AppendHeader(dst, name, value []byte) []byte {
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i] // else the rest of it would be read as the value
	}
	dst = AppendFrameHeader(dst, CmdHeader, len(name)+1+len(value)+1)
	dst = append(append(dst, name...), 0)
	return append(append(dst, value...), 0)
}
