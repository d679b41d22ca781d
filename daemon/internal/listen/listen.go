// Package listen opens the sockets that MTAs connect to.
//
// A unix socket has its mode and its group before anybody can connect to it; a
// socket that a crash has left behind is replaced, one that answers is not.
package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
)

// backlog is how many connections may wait to be taken. The kernel makes less
// of it where it is told to (net.core.somaxconn).
const backlog = 4096

// Owner says who may connect to unix sockets.
type Owner struct {
	Mode  fs.FileMode
	Group int // a group's id; below zero: that of the process
}

// A Listener is one open socket.
type Listener struct {
	net.Listener
	Socket config.Socket // as it was configured

	file   fs.FileInfo // of a unix socket; nil: of none that is ours to remove
	before *Inherited  // who has handed it over, whose it is until he is told that we serve; nil: nobody
	closed sync.Once
	gone   atomic.Bool // it has been closed, or is being closed
	err    error       // of closing
}

// Closed reports whether the socket has been closed by this process.
func (l *Listener) Closed() bool { return l.gone.Load() }

// Close closes the socket. It removes the file of a unix socket, unless
// another has been put in its place, or it is still that of the process that has
// handed it over. The file goes first, so that nobody finds a socket that is dead.
func (l *Listener) Close() error {
	// Once: a file that is made after we have closed may get the number of
	// ours.
	l.closed.Do(func() {
		l.gone.Store(true)
		if l.file != nil && (l.before == nil || l.before.serves.Load()) {
			if now, err := os.Lstat(l.Socket.Addr); err == nil && os.SameFile(now, l.file) {
				l.err = os.Remove(l.Socket.Addr)
			}
		}
		l.err = errors.Join(l.Listener.Close(), l.err)
	})
	return l.err
}

// Lost reports whether nobody can connect to the socket any more, since its file is
// gone, or is another's.
func (l *Listener) Lost() bool {
	if l.file == nil {
		return false
	}
	now, err := os.Lstat(l.Socket.Addr)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, l.file)
}

// Open opens all of sockets, or none. It changes the umask of the process for
// a moment: what makes files beside it must not need more rights for them than the
// sockets have, nor rely on the umask for less.
func Open(sockets []config.Socket, owner Owner, in *Inherited) ([]*Listener, error) {
	var open []*Listener
	var errs []error
	for _, s := range sockets {
		got, err := openOne(s, owner, in)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
		open = append(open, got...)
	}
	if len(errs) > 0 {
		for _, l := range open {
			l.Close()
		}
		return nil, errors.Join(errs...)
	}
	return open, nil
}

func openOne(s config.Socket, owner Owner, in *Inherited) ([]*Listener, error) {
	if handed, err := in.takeHanded(s); err != nil || handed != nil {
		return handed, err
	}
	switch s.Network {
	case "systemd":
		lns, err := in.take(s.Addr)
		var open []*Listener
		for _, ln := range lns {
			open = append(open, &Listener{Listener: ln, Socket: s})
		}
		return open, err
	case "unix":
		ln, file, err := openUnix(s.Addr, owner)
		if err != nil {
			return nil, err
		}
		return []*Listener{{Listener: ln, Socket: s, file: file}}, nil
	}
	ln, err := net.Listen(s.Network, s.Addr)
	if err != nil {
		return nil, socket.Reason(err)
	}
	return []*Listener{{Listener: ln, Socket: s}}, nil
}

// newHanded makes a listener of a socket that another process has opened.
func (in *Inherited) newHanded(s config.Socket, f *os.File) (*Listener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	l := &Listener{Listener: ln, Socket: s, before: in}
	if s.Network == "unix" {
		// It is the socket's own: who has handed it over still answers there.
		if l.file, err = os.Lstat(s.Addr); err != nil {
			l.file = nil
		}
	}
	return l, nil
}

// openUnix does what net.Listen does, with a step between bind and listen:
// until listen is called, the kernel refuses connections.
func openUnix(path string, owner Owner) (net.Listener, fs.FileInfo, error) {
	if err := CheckFolder(path); err != nil {
		return nil, nil, err
	}
	if err := socket.MakeWay(path); err != nil {
		return nil, nil, err
	}
	f, file, err := bindUnix(path, owner)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // the listener has a duplicate
	var ln net.Listener
	if err = os.NewSyscallError("listen", syscall.Listen(int(f.Fd()), backlog)); err == nil {
		ln, err = net.FileListener(f)
	}
	if err != nil {
		return nil, nil, errors.Join(err, os.Remove(path))
	}
	return ln, file, nil
}

// umask is held by who has changed the process's umask: two at once would leave
// it changed.
var umask sync.Mutex

// bindUnix makes a socket that has its mode and group, and refuses
// connections. The umask has the mode right from the first moment. A private
// directory and a rename would do as well, but then ss(8) and lsof(8) show the
// private name for ever, and a long path does not fit.
func bindUnix(path string, owner Owner) (*os.File, fs.FileInfo, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	umask.Lock()
	old := syscall.Umask(0o777 &^ int(owner.Mode))
	err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
	syscall.Umask(old)
	umask.Unlock()
	if err != nil {
		f.Close()
		return nil, nil, os.NewSyscallError("bind", err)
	}
	file, err := hand(path, owner)
	if err != nil {
		f.Close()
		// The name was free, and nobody could connect yet: it is ours.
		return nil, nil, errors.Join(err, os.Remove(path))
	}
	return f, file, nil
}

// hand gives a fresh socket to its group, and sees to it that it has the mode
// even where the directory's access list overrules the umask.
func hand(path string, owner Owner) (fs.FileInfo, error) {
	if owner.Group >= 0 {
		// Lchown: whoever may write to the directory can put a link there.
		if err := os.Lchown(path, -1, owner.Group); err != nil {
			return nil, fmt.Errorf("cannot be given to group %d: %w", owner.Group, errors.Unwrap(err))
		}
	}
	file, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if file.Mode().Type() == fs.ModeSocket && file.Mode().Perm() != owner.Mode {
		if err := os.Chmod(path, owner.Mode); err != nil {
			return nil, err
		}
		if file, err = os.Lstat(path); err != nil {
			return nil, err
		}
	}
	if file.Mode() != fs.ModeSocket|owner.Mode {
		return nil, fmt.Errorf("has the mode %v after it was made with %v", file.Mode(), owner.Mode)
	}
	return file, nil
}

// CheckFolder reports whether there can be a socket at path: whether the folder
// that it is to be in exists.
func CheckFolder(path string) error {
	dir := filepath.Dir(path)
	if fi, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the directory %s does not exist", dir)
	} else if err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}
