package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// probeTime bounds the question whether a socket that is there already
// answers.
const probeTime = time.Second

// MakeWay removes a unix socket that nobody listens on. Anything else that is
// there stays, and is an error.
func MakeWay(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return errors.New("what is there is not a socket; it stays as it is")
	}
	conn, err := net.DialTimeout("unix", path, probeTime)
	switch {
	case err == nil:
		conn.Close()
		return errors.New("another server answers on this socket")
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, syscall.EAGAIN):
		return errors.New("another server is on this socket, and is too busy to answer")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("a socket is there that cannot be asked whether it is in use: %w", Reason(err))
}

// Reason is what is wrong without the address, which the caller knows.
func Reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}
