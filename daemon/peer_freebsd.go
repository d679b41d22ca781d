package daemon

import "golang.org/x/sys/unix"

// peerOf returns the user at the other end of a unix socket. Source: LOCAL_PEERCRED
// in unix(4), whose level is 0.
func peerOf(fd int) (uid int, err error) {
	cred, err := unix.GetsockoptXucred(fd, 0, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}
