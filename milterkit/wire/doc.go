// Package wire is the milter protocol as bytes, versions 2 to 6, for both
// ends of a milter socket: the MTA and the filter.
//
// # Frames
//
// Either end writes frames. A frame is a length (four bytes, the most
// significant first, which counts the code but not itself), a code (one byte)
// and a payload. There are no request numbers: the order of the frames is all
// there is. Codes of commands (Cmd...) come from the MTA, codes of replies
// (Rep...) from the filter; only the negotiation has one code for both.
//
// # Parse and append
//
// Each command and each reply has a small file with two pure functions:
//
//	ParseX(payload) (X, error)   // the payload of a frame, without length and code
//	AppendX(dst, x) []byte       // a whole frame: length, code and payload
//
// Commands without a payload (DATA, end of header, ABORT, QUIT) and those whose
// payload is plain bytes (BODY, and END OF MESSAGE, which may carry a last
// piece of the body) need no parser; AppendFrame writes them.
//
// # Who owns memory
//
// What a Parse function returns as []byte is a view: it lies inside the payload
// given to it, and lives as long as that does. Who keeps it, copies it. A view
// has no spare capacity, so appending to one never writes over its neighbour.
// Append functions copy their arguments into dst and keep none of them.
// A Reader cuts frames out of the buffer that it reads into; see Reader.Pin for
// how the bytes are kept there.
//
// # Whose fault
//
// What a peer sends wrongly is a *ProtocolError and never a panic. Strings of
// the protocol end with a NUL. Where we send one that holds a NUL, it ends
// there, as it would in libmilter, whose strings are C strings.
//
// # Files, in reading order
//
//	codes.go       the constants
//	names.go       names of codes, the flags and the macro stage of a command
//	errors.go      ProtocolError
//	frame.go       length and code
//	strings.go     strings that end with a NUL
//	reader.go      a stream cut into frames, in place
//	split.go       frames that are handed out in parts
//	stranger.go    what a peer is that does not speak milter
//	negotiate.go   OPTNEG, both ways
//	macros.go      MACRO
//	connect.go     CONNECT
//	helo.go        HELO
//	envelope.go    MAIL and RCPT
//	unknown.go     UNKNOWN
//	header.go      HEADER
//	replycode.go   REPLYCODE
//	editheader.go  ADDHEADER, INSHEADER, CHGHEADER
//	editrcpt.go    ADDRCPT, ADDRCPT_PAR, DELRCPT
//	editfrom.go    CHGFROM
//	editbody.go    REPLBODY
//	quarantine.go  QUARANTINE
//
// This package may change before version 1 of the module.
package wire
