package quickack

import (
	"io"
	"net"
	"testing"
	"time"
)

// A peer that writes in two parts, with Nagle's algorithm on, is not kept waiting
// for the acknowledgement of the first.
func TestTwoWritesAreNotDelayed(t *testing.T) {
	plain := roundTrips(t, func(nc net.Conn) io.Reader { return nc })
	quick := roundTrips(t, Reader)
	t.Logf("40 commands in two writes: %v, acknowledged at once %v", plain, quick)
	if quick > plain/4 {
		t.Errorf("it took %v, and %v without", quick, plain)
	}
}

// roundTrips returns the time of 40 commands that are written in two parts and
// answered.
func roundTrips(t *testing.T, reader func(net.Conn) io.Reader) time.Duration {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r, b := reader(nc), make([]byte, 2)
		for {
			if _, err := io.ReadFull(r, b); err != nil {
				return
			}
			nc.Write(b[:1])
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.(*net.TCPConn).SetNoDelay(false)
	began := time.Now()
	for range 40 {
		nc.Write([]byte("D"))
		nc.Write([]byte("C"))
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}

// Only TCP connections are read in another way.
func TestOtherConnectionsAreReadAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if Reader(a) != io.Reader(a) {
		t.Error("a pipe has a reader of its own")
	}
}
