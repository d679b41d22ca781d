//go:build linux

package remote

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A milter whose queue of connections is full is waited for, and not taken to be
// down.
func TestFullQueueIsNotDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	ln, err := net.FileListener(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	var full []net.Conn
	for {
		nc, err := net.Dial("unix", path)
		if err != nil {
			break // as full as it gets
		}
		full = append(full, nc)
	}
	m := &Milter{Label: "busy", Network: "unix", Addr: path, ConnectTimeout: 500 * time.Millisecond}
	defer m.Close()
	h := m.Hooks()
	if v := h.Connect(t.Context(), &milterkit.Session{}); v.Err() == nil || m.Down() != nil {
		t.Errorf("%v, down: %v", v, m.Down())
	}
	for _, nc := range full {
		nc.Close()
	}
	f := &miltertest.Filter{}
	go f.Serve(ln)
	defer f.Close()
	m.ConnectTimeout = 5 * time.Second
	if v := h.Connect(t.Context(), &milterkit.Session{}); v != milterkit.Continue {
		t.Error(v)
	}
	h.Close()
}
