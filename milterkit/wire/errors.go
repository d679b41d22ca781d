package wire

// A ProtocolError says what a peer has sent wrongly. The stream it came from
// cannot be trusted any further: close it.
type ProtocolError struct {
	Code   byte   // the code of the frame that is at fault; 0: not of one frame
	Reason string // what is wrong with it, without a full stop
}

// Error is `milter protocol: CONNECT: no NUL after the host name`.
func (e *ProtocolError) Error() string {
	if e.Code == 0 {
		return "milter protocol: " + e.Reason
	}
	return "milter protocol: " + frameName(e.Code) + ": " + e.Reason
}

// fault is a ProtocolError as an error.
func fault(code byte, reason string) error {
	return &ProtocolError{Code: code, Reason: reason}
}
