package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
)

// mayCommand reports why who asks over conn may not change what the daemon does: root and
// the daemon's own user may, over a unix socket. A browser may not: behind a tunnel that
// root has made to the socket, any page that it shows could ask.
func mayCommand(conn net.Conn, r *http.Request) error {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("this is taken over a unix socket only (status in [server])")
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return errors.New("this is not for browsers; see milterkit reload and milterkit restart")
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
