//go:build !linux

package stack

import "syscall"

// attributes has a daemon run as cred, in a session of its own.
func attributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: cred}
}
