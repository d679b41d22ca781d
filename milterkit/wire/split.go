package wire

// part returns what comes next of a Split frame's payload: all of rest where the
// buffer has room for it, else as much as the buffer takes.
//
// The header of the frame has been taken off, so the bytes at hand are payload
// and nothing else, and they stay where they are. There are three ways to go on:
// they are handed out; more are read behind them; or there are none, and then
// the rest may begin anywhere, at the front of a loose buffer or in another one.
func (r *Reader) part() (Frame, error) {
	if r.Buffered() == 0 {
		r.place()
	}
	for r.Buffered() < r.rest && r.w < len(r.buf) {
		if err := r.fill(); err != nil {
			return Frame{}, r.ended(err, r.rest)
		}
	}
	n := min(r.Buffered(), r.rest)
	r.rest -= n
	return Frame{Code: r.Split, Payload: r.take(0, n)}, nil
}

// place finds the place for the rest of a payload of which nothing is there yet.
// A loose buffer is used from its front, if all of the rest fits; a pinned one
// from where it is, if all of it fits or a part that is worth it. A buffer that
// Replace has just given is used as it is, however short: a time-out before its
// first byte must not cost another one.
func (r *Reader) place() {
	if !r.pinned {
		r.r, r.w = 0, 0
	}
	room := len(r.buf) - r.w
	if room >= r.rest || r.unused || r.pinned && room >= minPart {
		return
	}
	r.replace(min(r.rest, MaxBody), 1)
}
