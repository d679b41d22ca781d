package daemon

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// serveAnswers serves clients that get an answer when they have sent an end, or have
// closed for writing.
func serveAnswers(t *testing.T, end []byte, answer string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				piece := make([]byte, 1<<16)
				for {
					n, err := conn.Read(piece)
					if end != nil && bytes.HasSuffix(piece[:n], end) || err == io.EOF {
						io.WriteString(conn, answer)
						return
					}
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}
