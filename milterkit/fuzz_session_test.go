package milterkit_test

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/wire"
)

// codes are what the fuzzer's frames are made of, most of them commands.
const codes = "OOCHMMRRTLLLNBBBEEUDDDAQKK" + "z\x00"

// stream makes bytes for a session of in: each step is a frame of a command with
// some of in as its payload, or raw bytes.
func stream(in []byte) []byte {
	var out []byte
	for len(in) >= 2 {
		op, n := in[0], int(in[1])
		in = in[2:]
		size := min(n, len(in))
		payload := in[:size:size]
		in = in[size:]
		switch {
		case op == 255:
			out = append(out, payload...) // raw bytes
			continue
		case op >= 250: // a long frame
			payload = make([]byte, 1000*n)
		case op >= 200: // in the form that the command has
			payload = append(payload, 0)
		case op >= 190 && size >= 4: // the length as it comes
			out = binary.BigEndian.AppendUint32(out, uint32(payload[0])<<12|uint32(payload[1]))
			out = append(out, codes[int(op)%len(codes)])
			continue
		}
		out = wire.AppendFrame(out, codes[int(op)%len(codes)], payload)
	}
	return append(out, in...)
}

// step is a seed's frame of a command.
func step(code byte, payload string) []byte {
	for op := range codes {
		if codes[op] == code {
			return append([]byte{byte(op), byte(len(payload))}, payload...)
		}
	}
	panic(code)
}

func seed(steps ...[]byte) (all []byte) {
	for _, s := range steps {
		all = append(all, s...)
	}
	return all
}

// anyChild has every hook, and answers by what it is shown.
func anyChild(name string) milterkit.Child {
	answer := func(s string) milterkit.Verdict {
		switch {
		case len(s)%7 == 3:
			return milterkit.Accept
		case len(s)%11 == 5:
			return milterkit.Reject(s)
		case len(s)%13 == 7:
			panic(s)
		case len(s)%17 == 9:
			return milterkit.Discard
		}
		return milterkit.Continue
	}
	return childOf(name, milterkit.Hooks{
		Prompt:  name == "b" || name == "d",
		Connect: func(_ context.Context, s *milterkit.Session) milterkit.Verdict { return answer(s.Host) },
		Helo:    func(_ context.Context, s *milterkit.Session) milterkit.Verdict { return answer(s.Helo) },
		Mail:    func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict { return answer(e.Sender.Addr) },
		Rcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			return answer(to.Addr)
		},
		RefusedRcpt: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
			return answer(to.Addr)
		},
		Data:   func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict { return answer(e.QueueID()) },
		Header: func(_ context.Context, m *milterkit.Message) milterkit.Verdict { return answer(m.Get("Subject")) },
		Body:   func(_ context.Context, _ *milterkit.Message, p []byte) milterkit.Verdict { return answer(string(p)) },
		Message: func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			for i, f := range m.Header() {
				e.ChangeHeader(string(f.Name), i, string(f.Value))
				e.InsertHeader(i-1, string(f.Name), string(f.Value))
			}
			e.ReplaceBody([]byte(m.Get("Subject")))
			return answer(m.Sender.Addr)
		},
		Unknown: func(_ context.Context, _ *milterkit.Session, line string) milterkit.Verdict { return answer(line) },
		Reset:   func() {},
		Close:   func() {},
	})
}

func FuzzSession(f *testing.F) {
	offer := func(version, actions, steps byte) []byte {
		return step('O', string([]byte{0, 0, 0, version, 0, 0, 1, actions, 0, 0x1f &^ ^steps, 0xff, 0xff}))
	}
	hello := seed(offer(6, 0xff, 0x1f), step('C', "host\x004\x00\x19192.0.2.1\x00"), step('H', "name\x00"))
	mail := seed(step('D', "Mi\x00Q1\x00"), step('M', "<ab@b>\x00SIZE=1\x00"), step('R', "<cc@d>\x00"), step('T', ""))
	content := seed(step('L', "Subject\x00 hi\x00"), step('L', "X\x00\x00"), step('N', ""), step('B', "body\r\n"), step('B', "\x00\xff"))
	f.Add(seed(hello, mail, content, step('E', ""), step('A', ""), mail, content, step('E', "last"), step('Q', "")))
	f.Add(seed(hello, mail, step('K', ""), step('C', "h\x00U"), mail, content))
	f.Add(seed(offer(2, 0x3f, 0), step('C', "h\x00L\x00\x00/x\x00"), mail, content, step('E', "")))
	f.Add(seed(hello, step('U', "FOO\x00"), mail, step('U', "BAR\x00"), content, step('H', "x\x00"), mail, step('E', "")))
	f.Add(seed(hello, mail, step('D', "R{rcpt_mailer}\x00error\x00"), step('R', "<no>\x00"), content, mail))
	f.Add(seed(hello, mail, content, []byte{251 - 251%byte(len(codes)) + 13, 200}))
	f.Add(seed(hello, mail, step('R', "<refus@d>\x00"), content, step('L', "Subject\x00 late\x00"), step('M', "<panicpa@b>\x00"), content, step('E', "")))
	f.Add(seed(hello, mail, step('L', "Subject\x00 refus\x00"), step('B', "x"), step('E', ""), mail, step('R', "<discard@d>\x00"), step('E', "")))
	f.Add([]byte("\xff\x10GET / HTTP/1.0\r\n"))
	f.Add([]byte("\xff\x08\x00\x10\x00\x01B1234"))
	slots := []milterkit.Slot{
		{Child: anyChild("a")}, {Child: anyChild("b"), DefaultAction: milterkit.DefaultAccept}, {Child: anyChild("c"), Together: true, DefaultAction: milterkit.DefaultQuarantine},
		{Child: anyChild("d"), When: milterkit.Condition{Name: "c", At: milterkit.StageRcpt, Holds: func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) bool { return len(to.Addr)%2 == 0 }}},
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		// In a bubble a session that hangs is a deadlock, and one that leaves a
		// goroutine behind too.
		synctest.Test(t, func(t *testing.T) { playStream(t, slots, stream(in)) })
	})
}

// playStream sends bytes to a Server and reads what it answers until it closes.
func playStream(t *testing.T, slots []milterkit.Slot, bytes []byte) {
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	milterkit.FeedFrom(d, 4)
	srv := &milterkit.Server{Dispatcher: d, TempDir: t.TempDir(), MaxMemory: int64(len(bytes)%3) << 17}
	ln := newPipes()
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ln) })
	mta := ln.dial()
	var read sync.WaitGroup
	read.Go(func() {
		r := wire.NewReader(mta, nil)
		for {
			if _, err := r.Next(); err != nil {
				if err != io.EOF {
					t.Errorf("the answers end with %v", err)
				}
				return
			}
		}
	})
	mta.Write(append(bytes, wire.AppendFrame(nil, wire.CmdQuit, nil)...))
	// Within a frame it may wait for more; then the MTA goes.
	ended := make(chan struct{})
	go func() { read.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Minute):
		srv.Close()
		<-ended
	}
	mta.Close()
	srv.Close()
	served.Wait()
	if n := milterkit.MemoryInUse(srv); n != 0 {
		t.Errorf("%d bytes are still in use", n)
	}
}
