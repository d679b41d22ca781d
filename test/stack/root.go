package stack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
)

// firstPort and lastPort bound the ports that FreePort gives out. They lie
// below Linux's range for outgoing connections, which could take a port
// between the moment it was chosen and the moment the daemon listens on it.
const (
	firstPort = 20000
	lastPort  = 32000

	// A root has blocks of so many ports to itself.
	blockSize = 300
)

// Root is the folder below which the daemons of one test run keep all they
// write, and the user they run as.
type Root struct {
	// Dir is the folder's path. It is short, because the path of a unix
	// socket has at most 107 bytes, and open to all, because daemons of
	// several users reach their sockets through it.
	Dir string

	uid, gid int

	mu     sync.Mutex
	claims []net.Listener // of its blocks, each at the block's first port
	next   int            // the port of the last block to be given out next
	end    int            // the end of that block
}

// NewRoot makes an empty root. It fails for anyone but root: Postfix's
// master, which the tests start, changes users.
func NewRoot() (*Root, error) {
	// Not $TMPDIR, which may be long or closed to other users.
	return NewRootBelow("/tmp")
}

// NewRootBelow makes an empty root in a folder, such as one in memory. Its path
// must be short, and open to all users.
func NewRootBelow(parent string) (*Root, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("stack: the end-to-end tests must be run as root: Postfix's master daemon starts only as root (all other daemons are run as nobody)")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	uid, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		return nil, fmt.Errorf("stack: user nobody: %w", err)
	}
	gid, err := strconv.Atoi(nobody.Gid)
	if err != nil {
		return nil, fmt.Errorf("stack: user nobody: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "mk")
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	return &Root{Dir: dir, uid: uid, gid: gid}, nil
}

// Remove deletes the root and all below it, and gives its ports back.
func (r *Root) Remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.claims {
		l.Close()
	}
	return os.RemoveAll(r.Dir)
}

// Path is the path of a file or socket below the root.
func (r *Root) Path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}

// FreePort picks a loopback TCP port on which nothing listens, and which it
// has not given out before. Other roots, also those of other processes, do not give
// it out as long as this one is there: it may take a while until a daemon listens.
func (r *Root) FreePort() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.next == r.end {
			if err := r.claim(); err != nil {
				return 0, err
			}
		}
		port := r.next
		r.next++
		if l, err := listenAt(port); err == nil {
			l.Close()
			return port, nil
		}
	}
}

// claim takes a block of ports that no other root has.
func (r *Root) claim() error {
	for range 1000 {
		first := firstPort + blockSize*rand.IntN((lastPort-firstPort)/blockSize)
		l, err := listenAt(first)
		if err != nil {
			continue
		}
		r.claims = append(r.claims, l)
		r.next, r.end = first+1, first+blockSize
		return nil
	}
	return errors.New("stack: no free port on 127.0.0.1")
}

func listenAt(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// mkdir makes a folder for a daemon, owned by the user it runs as.
func (r *Root) mkdir(elem ...string) (string, error) {
	dir := r.Path(elem...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, r.uid, r.gid)
}

// write writes a file, readable by all, owned by the daemons' user.
func (r *Root) write(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Chown(path, r.uid, r.gid)
}

// program finds a program by name, also where only root's PATH leads.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/usr/lib/postfix/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("stack: the program %q is missing: `make test` installs what the end-to-end tests need, or run test/install.sh as root", name)
}
