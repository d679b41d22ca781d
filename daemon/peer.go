package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// mayCommand reports whether who is at the other end of conn may change what the
// daemon does: root and the daemon's own user may, over a unix socket.
func mayCommand(conn net.Conn) error {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("this is taken over a unix socket only (status in [server])")
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return err
	}
	var uid int
	var unknown error
	if err := raw.Control(func(fd uintptr) { uid, unknown = peerOf(int(fd)) }); err != nil {
		return err
	}
	if unknown != nil {
		return unknown
	}
	if own := os.Geteuid(); uid != 0 && uid != own {
		return fmt.Errorf("this is for root and the user %d, whom milterkit runs as; you are the user %d", own, uid)
	}
	return nil
}
