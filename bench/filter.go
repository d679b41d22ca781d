package bench

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/milterkit/sdk/milterkit/wire"
)

// Filters are filters that do no work, in one process.
type Filters struct {
	Count  int
	Delay  time.Duration // before the answer at the end of a message
	Silent bool          // they promise not to answer the header and the body, as few filters do
}

// silentSteps are the answers that a silent filter does not give.
const silentSteps = wire.NoReplyHeader | wire.NoReplyEOH | wire.NoReplyBody

// A filter is a milter that says continue to everything. It answers each command
// by a write of its own, as libmilter does.
type filter struct {
	steps wire.Steps    // what it does not want, and does not answer
	delay time.Duration // before its answer at the end of a message
}

// serve serves until ln is closed.
func (f *filter) serve(ln net.Listener) error {
	return acceptAll(ln, func(nc net.Conn) { f.session(nc) })
}

var carryOn = wire.AppendFrame(nil, wire.RepContinue, nil)

// session answers one conversation. An error of the connection ends it.
func (f *filter) session(nc net.Conn) error {
	defer nc.Close()
	r := wire.NewReader(nc, make([]byte, 1<<10))
	r.Split = wire.CmdBody
	var large []byte
	r.Replace = func(need int) []byte {
		if large == nil {
			large = make([]byte, 128<<10)
		}
		return large
	}
	for {
		m, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if r.Rest() > 0 {
			continue
		}
		switch m.Code {
		case wire.CmdNegotiate:
			_, err = nc.Write(wire.Negotiation{Version: wire.MaxVersion, Steps: f.steps}.Append(nil))
		case wire.CmdMacros, wire.CmdAbort:
		case wire.CmdQuit:
			return nil
		default:
			if m.Code == wire.CmdEOM && f.delay > 0 {
				time.Sleep(f.delay)
			}
			if nr := wire.NoReply(m.Code); nr == 0 || f.steps&nr == 0 {
				_, err = nc.Write(carryOn)
			}
		}
		if err != nil {
			return err
		}
	}
}
