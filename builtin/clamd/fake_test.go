package clamd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// virus is what the fake takes for a virus, virusTest what it calls it.
const (
	virus     = "X-VIRUS-X"
	virusTest = "Test:Virus.A(1)"
)

// fake stands in for clamd.
type fake struct {
	// reply is the answer to a command with a message; nil: as clamd would. "" is
	// none, and the connection is closed.
	reply func(command, message string) string

	// conn, where it is set, has the connection to itself.
	conn func(*fake, net.Conn)

	// version is the answer to VERSION.
	version string

	ln    net.Listener
	conns sync.WaitGroup

	mu       sync.Mutex
	open     []net.Conn
	commands []string // all that came whole, but for VERSION
	messages []string // that came with them
	asked    int      // for the version
}

// networks are the ways to clamd: by one it is handed the message, by the other sent.
var networks = []string{"unix", "tcp"}

// start has the fake listen until the test ends.
func (f *fake) start(t *testing.T, network string) *fake {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "clamd") // a path of a socket is short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		addr = filepath.Join(dir, "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	f.ln = ln
	f.conns.Go(f.serve)
	t.Cleanup(f.stop)
	return f
}

// addr is where it listens, as the options have it.
func (f *fake) addr() string {
	if f.ln.Addr().Network() == "unix" {
		return "unix:" + f.ln.Addr().String()
	}
	host, port, _ := net.SplitHostPort(f.ln.Addr().String())
	return "inet:" + port + "@" + host
}

func (f *fake) serve() {
	for {
		conn, err := f.ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.open = append(f.open, conn)
		f.mu.Unlock()
		f.conns.Go(func() {
			defer conn.Close()
			if f.conn != nil {
				f.conn(f, conn)
				return
			}
			f.answer(conn)
		})
	}
}

// stop cuts all connections, and waits for what serves them.
func (f *fake) stop() {
	f.ln.Close()
	f.mu.Lock()
	for _, conn := range f.open {
		conn.Close()
	}
	f.mu.Unlock()
	f.conns.Wait()
}

// answer answers one command.
func (f *fake) answer(conn net.Conn) {
	command, message, err := f.receive(conn)
	if err != nil {
		return
	}
	if reply := f.replyTo(command, message); reply != "" {
		io.WriteString(conn, reply+"\x00")
	}
}

func (f *fake) replyTo(command, message string) string {
	if command == "VERSION" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked++
		return f.version
	}
	if f.reply != nil {
		return f.reply(command, message)
	}
	name := "stream"
	if command == "FILDES" {
		name = "fd[7]"
	}
	if strings.Contains(message, virus) {
		return name + ": " + virusTest + " FOUND"
	}
	return name + ": OK"
}

// receive reads a command, and the message that comes with it.
func (f *fake) receive(conn net.Conn) (command, message string, err error) {
	r := &rights{conn: conn}
	br := bufio.NewReaderSize(r, 64<<10)
	line, err := br.ReadString(0)
	if err != nil {
		return "", "", err
	}
	command = strings.TrimPrefix(strings.TrimSuffix(line, "\x00"), "z")
	switch command {
	case "INSTREAM":
		message, err = readStream(br)
	case "FILDES":
		message, err = r.readFile(br)
	case "VERSION":
		return command, "", nil
	default:
		err = fmt.Errorf("unknown command %q", command)
	}
	if err == nil {
		f.mu.Lock()
		f.commands = append(f.commands, command)
		f.messages = append(f.messages, message)
		f.mu.Unlock()
	}
	return command, message, err
}

// readStream reads pieces up to the empty one.
func readStream(r io.Reader) (string, error) {
	var b strings.Builder
	for {
		var size uint32
		if err := binary.Read(r, binary.BigEndian, &size); err != nil {
			return b.String(), err
		}
		if size == 0 {
			return b.String(), nil
		}
		if _, err := io.CopyN(&b, r, int64(size)); err != nil {
			return b.String(), err
		}
	}
}

// rights reads from a connection, and keeps the descriptor that comes with it.
type rights struct {
	conn net.Conn
	file *os.File
}

func (r *rights) Read(p []byte) (int, error) {
	unix, ok := r.conn.(*net.UnixConn)
	if !ok {
		return r.conn.Read(p)
	}
	oob := make([]byte, 128)
	n, k, _, _, err := unix.ReadMsgUnix(p, oob)
	if n == 0 && err == nil {
		err = io.EOF
	}
	if messages, bad := syscall.ParseSocketControlMessage(oob[:k]); bad == nil && len(messages) > 0 {
		if fds, bad := syscall.ParseUnixRights(&messages[0]); bad == nil {
			r.file = os.NewFile(uintptr(fds[0]), "handed")
		}
	}
	return n, err
}

// readFile reads the file that was handed over with one byte.
func (r *rights) readFile(br *bufio.Reader) (string, error) {
	if _, err := br.ReadByte(); err != nil {
		return "", err
	}
	if r.file == nil {
		return "", errors.New("no file descriptor")
	}
	defer r.file.Close()
	text, err := io.ReadAll(r.file)
	return string(text), err
}

// saw are the messages that came whole.
func (f *fake) saw() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.messages)
}

// got are the commands that came whole.
func (f *fake) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}
