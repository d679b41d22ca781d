package stack

import "syscall"

// attributes has a daemon run as cred, in a session of its own, and end with the
// test.
func attributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: cred, Pdeathsig: syscall.SIGKILL}
}
