package wire

// AppendReplaceBody appends a frame of RepReplaceBody (SMFIR_REPLBODY): a piece
// of the new body, lines ending in CRLF. The caller cuts the body into pieces of
// at most MaxBody bytes and sends them one behind the other, with nothing
// between them: Postfix refuses a body that was interrupted.
func AppendReplaceBody(dst, piece []byte) []byte {
	return AppendFrame(dst, RepReplaceBody, piece)
}
