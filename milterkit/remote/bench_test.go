package remote_test

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// benchWalk is a walk past a filter that says continue to all and allocates
// nothing.
func benchWalk(b testing.TB) *milterkit.Walk {
	ln, err := net.Listen("unix", filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				r := wire.NewReader(nc, make([]byte, 128<<10))
				offer, reply := wire.Negotiation{Version: 6}.Append(nil), Frame(wire.RepContinue, "")
				for {
					f, err := r.Next()
					switch {
					case err != nil:
						return
					case f.Code == wire.CmdNegotiate:
						nc.Write(offer)
					case f.Code != wire.CmdMacros && f.Code != wire.CmdAbort:
						nc.Write(reply)
					}
				}
			}()
		}
	}()
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: &remote.Milter{Network: "unix", Addr: ln.Addr().String()}})
	if err != nil {
		b.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(wire.AllActions)
	w.Connect(b.Context(), "mx", milterkit.FamilyUnknown, "", 0)
	w.Helo(b.Context(), "mx")
	b.Cleanup(w.Close)
	return w
}

func BenchmarkRcpt(b *testing.B) {
	w := benchWalk(b)
	w.Mail(b.Context(), milterkit.NewAddress("<a@example.org>"))
	to := milterkit.NewAddress("<b@example.net>")
	b.ReportAllocs()
	for b.Loop() {
		if w.Rcpt(b.Context(), to) != milterkit.Continue {
			b.Fatal("refused")
		}
	}
}

func BenchmarkBody(b *testing.B) {
	w := benchWalk(b)
	w.Mail(b.Context(), milterkit.NewAddress("<a@example.org>"))
	w.EndOfHeader(b.Context())
	w.Body(b.Context(), make([]byte, wire.MaxBody)) // from now on it is sent as it arrives
	piece := bytes.Repeat([]byte("x"), wire.MaxBody)
	b.SetBytes(int64(len(piece)))
	b.ReportAllocs()
	for b.Loop() {
		w.Body(b.Context(), piece)
	}
}

func BenchmarkMessage(b *testing.B) {
	w := benchWalk(b)
	b.ReportAllocs()
	for b.Loop() {
		benchMessage(b, w)
	}
}

var (
	benchFrom = milterkit.NewAddress("<a@example.org>")
	benchTo   = milterkit.NewAddress("<b@example.net>")
	benchBody = []byte("text\r\n")
	benchName = []byte("Subject")
	benchText = []byte(" hello")
)

// benchMessage takes a small message past the filter.
func benchMessage(b testing.TB, w *milterkit.Walk) {
	w.Mail(b.Context(), benchFrom)
	w.Rcpt(b.Context(), benchTo)
	w.Data(b.Context())
	for range 20 {
		w.Header(benchName, benchText)
	}
	w.EndOfHeader(b.Context())
	w.Body(b.Context(), benchBody)
	if w.EndOfMessage(b.Context()).Verdict != milterkit.Continue {
		b.Fatal("refused")
	}
	w.Reset()
}
