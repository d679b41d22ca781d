package memconn_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/internal/memconn"
)

// Bytes come out as they went in, whatever the pieces in which they are written
// and read, and also where they are more than there is room for.
func TestBytesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	near, far := memconn.Pipe()
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	go func() {
		defer near.Close()
		for left := want; len(left) > 0; {
			n := min(1+rand.IntN(100<<10), len(left))
			if k, err := near.Write(left[:n]); k != n || err != nil {
				t.Errorf("write of %d bytes: %d, %v", n, k, err)
				return
			}
			left = left[n:]
		}
	}()
	var got bytes.Buffer
	for buf := make([]byte, 100<<10); ; {
		n, err := far.Read(buf[:1+rand.IntN(len(buf))])
		got.Write(buf[:n])
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes came out, or other ones, want %d", got.Len(), len(want))
	}
}

// Both ends can write before they read.
func TestThereIsRoomBothWays(t *testing.T) {
	t.Parallel()
	a, b := memconn.Pipe()
	piece := make([]byte, 64<<10)
	for _, end := range []net.Conn{a, b} {
		if n, err := end.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	for _, end := range []net.Conn{a, b} {
		if _, err := io.ReadFull(end, piece); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWasWrittenBeforeCloseIsRead(t *testing.T) {
	t.Parallel()
	near, far := memconn.Pipe()
	waiting := func(bytes int, err error) {
		t.Helper()
		if n, e := far.Waiting(); n != bytes || e != err {
			t.Errorf("waiting: %d, %v, want %d, %v", n, e, bytes, err)
		}
	}
	waiting(0, nil)
	near.Write([]byte("bye"))
	near.Close()
	waiting(3, nil)
	if got, err := io.ReadAll(far); string(got) != "bye" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	waiting(0, io.EOF)
	for _, test := range []struct {
		what string
		do   func([]byte) (int, error)
		want error
	}{
		{"read at the closed end", near.Read, net.ErrClosed},
		{"write at the closed end", near.Write, net.ErrClosed},
		{"write to the closed end", far.Write, io.ErrClosedPipe},
	} {
		if _, err := test.do([]byte("x")); err != test.want {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
	}
}

// Close ends reads and writes that wait, at either end.
func TestCloseEndsWaits(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			near, far := memconn.Pipe()
			ended := make(chan error, 2)
			go func() {
				_, err := near.Read(make([]byte, 1))
				ended <- err
			}()
			go func() {
				_, err := near.Write(make([]byte, 1<<20))
				ended <- err
			}()
			synctest.Wait()
			if own {
				near.Close()
			} else {
				far.Close()
			}
			for range 2 {
				if err := <-ended; err == nil {
					t.Error("no error")
				}
			}
		})
	}
}

// A deadline ends what waits, when it is over and no sooner; a new one counts from
// when it is set.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := memconn.Pipe()
		defer far.Close()
		defer near.Close()
		began := time.Now()
		near.SetDeadline(began.Add(time.Hour))
		near.SetDeadline(began.Add(2 * time.Second))
		for _, do := range []func([]byte) (int, error){near.Read, near.Write} {
			if _, err := do(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 2*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		}
		near.SetDeadline(time.Time{})
		go func() {
			time.Sleep(time.Minute)
			near.SetReadDeadline(time.Unix(1, 0))
		}()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 62*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// To write and read what there is room for allocates nothing.
func TestAllocs(t *testing.T) {
	near, far := memconn.Pipe()
	piece := make([]byte, 4<<10)
	if n := testing.AllocsPerRun(100, func() {
		near.Write(piece)
		far.Read(piece)
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
