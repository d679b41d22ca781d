package stack

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// readyListener is a listener without milters, the last to be opened; it
// tells when Postfix has started.
const readyListener = "(ready)"

// Listener is an smtpd of its own, at a port of its own.
type Listener struct {
	// Name is what [Postfix.Addr] knows it by.
	Name string

	// Milters are its smtpd_milters, in order.
	Milters []string

	// Settings are lines "parameter = value", for this listener alone.
	Settings []string
}

// Postfix is a Postfix instance that shares nothing with one that the machine
// may have. Mail for [Postfix.Mailboxes] is kept, mail for any other domain is
// thrown away, mail for other users of example.test is refused.
type Postfix struct {
	Root *Root

	// Listeners are all its smtpds.
	Listeners []Listener

	// Mailboxes are the users of example.test, by their local parts.
	Mailboxes []string

	// Settings are lines "parameter = value" for all of Postfix.
	Settings []string

	// Cleanup are lines "parameter = value" for cleanup alone, which asks the
	// milters about mail that does not come by SMTP.
	Cleanup []string

	addrs map[string]string // by the listener's name
	box   maildir
	daemon
}

// Addr is the address of a listener, as net.Dial has it.
func (p *Postfix) Addr(listener string) string {
	addr, ok := p.addrs[listener]
	if !ok {
		panic("stack: Postfix has no listener " + listener)
	}
	return addr
}

func (p *Postfix) maillog() string { return p.Root.Path("postfix", "maillog") }

// Start implements [Component].
func (p *Postfix) Start() error {
	if err := p.choosePorts(); err != nil {
		return fmt.Errorf("stack: postfix: %w", err)
	}
	if err := p.makeTree(); err != nil {
		return fmt.Errorf("stack: postfix: %w", err)
	}
	p.grace = stopLimit
	p.box.dir = p.Root.Path("postfix", "mail", "all", "new")
	if err := p.launch(p.Root, "postfix", p.Root.Path("postfix"), nil, nil, "master", "-c", p.Root.Path("postfix", "etc")); err != nil {
		return err
	}
	return p.ready("greeting", func() bool { return greets(p.addrs[readyListener]) })
}

// greets reports whether an SMTP server answers at an address.
func greets(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(startLimit))
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Fprint(conn, "QUIT\r\n")
	return err == nil && strings.HasPrefix(line, "220 ")
}

func (p *Postfix) choosePorts() error {
	p.addrs = make(map[string]string)
	names := []string{readyListener}
	for _, l := range p.Listeners {
		names = append(names, l.Name)
	}
	for _, name := range names {
		if p.addrs[name] != "" {
			return fmt.Errorf("two listeners are called %q", name)
		}
		port, err := p.Root.FreePort()
		if err != nil {
			return err
		}
		p.addrs[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return nil
}

// queueDirs are the folders of the queue that only Postfix may enter.
var queueDirs = []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"}

// makeTree writes the configuration and makes the queue, which `postfix
// start` would do with shell scripts, in seconds.
func (p *Postfix) makeTree() error {
	r := p.Root
	uid, gid, err := postfixIDs()
	if err != nil {
		return err
	}
	var errs []error
	mkdir := func(mode os.FileMode, uid, gid int, elem ...string) {
		dir := r.Path(append([]string{"postfix"}, elem...)...)
		errs = append(errs, os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid), os.Chmod(dir, mode))
	}
	mkdir(0o755, 0, 0)
	mkdir(0o755, 0, 0, "etc")
	mkdir(0o700, uid, 0, "data")
	mkdir(0o755, r.uid, r.gid, "mail")
	mkdir(0o755, 0, 0, "queue")
	mkdir(0o755, 0, 0, "queue", "pid")
	for _, dir := range queueDirs {
		mkdir(0o700, uid, 0, "queue", dir)
	}
	mkdir(0o710|os.ModeSetgid, uid, gid, "queue", "public")
	mkdir(0o730|os.ModeSticky, uid, gid, "queue", "maildrop")

	// Postfix waits for a configuration younger than 2 s to "cool down".
	old := time.Now().Add(-time.Minute)
	for name, content := range map[string]string{"main.cf": p.maincf(), "master.cf": p.mastercf(), "mailboxes": p.mailboxes()} {
		file := r.Path("postfix", "etc", name)
		errs = append(errs, os.WriteFile(file, []byte(content), 0o644), os.Chtimes(file, old, old))
	}
	return errors.Join(errs...)
}

// postfixIDs are the user postfix and the group postdrop.
func postfixIDs() (uid, gid int, err error) {
	if _, err := program("master"); err != nil {
		return 0, 0, err
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return 0, 0, err
	}
	group, err := user.LookupGroup("postdrop")
	if err != nil {
		return 0, 0, err
	}
	uid, err = strconv.Atoi(owner.Uid)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(group.Gid)
	return uid, gid, err
}

// Log implements [Component]: the end of the mail log.
func (p *Postfix) Log() string { return p.daemon.Log() + tail(p.maillog()) }

// LogOf is what the mail log says about a message, at its start and its end.
func (p *Postfix) LogOf(id string) string { return logOf(p.maillog(), id) }

// logOf is what a log says about a message, at its start and its end.
func logOf(file, id string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, id) {
			lines = append(lines, line)
		}
	}
	if n := len(lines); n > 20 {
		lines = slices.Concat(lines[:10], []string{"...\n"}, lines[n-10:])
	}
	return strings.Join(lines, "")
}

// Warnings are the lines of the mail log that tell of trouble.
func (p *Postfix) Warnings() []string {
	b, err := os.ReadFile(p.maillog())
	if err != nil {
		return []string{err.Error()}
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		for _, word := range []string{": warning: ", ": error: ", ": fatal: ", ": panic: "} {
			if strings.Contains(line, word) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}
