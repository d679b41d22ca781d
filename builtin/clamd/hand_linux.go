package clamd

import (
	"context"
	"io"
	"net"
	"os"

	"github.com/baruwa-enterprise/clamd/protocol"
	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/builtin/internal/peer"
)

// hand hands a message to a clamd on this machine as an open file, which it may read
// whoever it runs as. The file is in memory, and has no name.
func (c *child) hand(ctx context.Context, a peer.Addr, message io.Reader, size int64) (string, error) {
	defer c.inHand.Add(-size)
	if c.inHand.Add(size) > maxInHand {
		return "", errNotHanded
	}
	file, err := memoryFile(message, size)
	if err != nil {
		return "", errNotHanded
	}
	defer file.Close()
	answer, err := exchange(ctx, a, func(conn net.Conn) error {
		// The descriptor goes with a byte of its own, behind the command.
		_, _, err := conn.(*net.UnixConn).WriteMsgUnix([]byte(command(protocol.Fildes)+"\x00"), unix.UnixRights(int(file.Fd())), nil)
		return err
	})
	if err != nil {
		return "", err
	}
	return parseAnswer(answer)
}

// memoryFile returns a file with a message, at its beginning.
func memoryFile(message io.Reader, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "message")
	n, err := io.Copy(file, message)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
