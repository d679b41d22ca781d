package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An MTA is a mail server with milters, as the tests need one.
type MTA interface {
	Component
	Addr(listener string) string
	Await(ctx context.Context, id string) (Fate, []Copy, error)
	LogOf(id string) string
}

// sendmailTree is where test/install.sh unpacks Sendmail, whose packages cannot
// be installed beside Postfix's.
const sendmailTree = "/var/cache/milterkit-test/sendmail"

// Sendmail is a Sendmail that shares nothing with one that the machine may
// have. It hands all mail that it takes to an SMTP server in this process, where
// [Sendmail.Await] finds it; users of example.test whose names begin with
// "unknown" or "nobody" it refuses. Milters that fail are answered by tempfail,
// and waited for as long as Sendmail does where nothing else is said.
type Sendmail struct {
	Root *Root

	// Listeners are all its ports. They have no settings of their own.
	Listeners []Listener

	// Hosts are clients' names, by the loopback addresses that they come from.
	Hosts map[string]string

	// Host is the address that it listens at, empty: 127.0.0.1.
	Host string

	addrs   map[string]string // by the listener's name
	sink    sink
	syslog  syslog
	daemons []*sendmailDaemon
}

// sendmailDaemon is one of the processes that make up a Sendmail: each has ten
// listeners at most. Source: sendmail/conf.h, MAXDAEMONS.
type sendmailDaemon struct {
	mta       *Sendmail
	name      string
	listeners []Listener
	daemon
}

const maxDaemons = 10

// Addr is the address of a listener, as net.Dial has it.
func (s *Sendmail) Addr(listener string) string {
	addr, ok := s.addrs[listener]
	if !ok {
		panic("stack: Sendmail has no listener " + listener)
	}
	return addr
}

// Start implements [Component].
func (s *Sendmail) Start() error {
	if _, err := os.Stat(sendmailTree); err != nil {
		return fmt.Errorf("stack: Sendmail is missing: `make test` unpacks it, or run test/install.sh as root: %w", err)
	}
	s.makeDaemons()
	if err := errors.Join(s.choosePorts(), s.makeTree()); err != nil {
		return fmt.Errorf("stack: sendmail: %w", err)
	}
	if err := errors.Join(s.sink.start(), s.syslog.start(s.path("dev", "log"), s.path("maillog"))); err != nil {
		return fmt.Errorf("stack: sendmail: %w", err)
	}
	return Start(s.components()...)
}

// makeDaemons shares out the listeners. Each process has one more, without
// milters, which tells when it has started.
func (s *Sendmail) makeDaemons() {
	for listeners := range slices.Chunk(s.Listeners, maxDaemons-1) {
		name := fmt.Sprintf("sendmail%d", len(s.daemons))
		listeners = append(slices.Clone(listeners), Listener{Name: readyListener + name})
		s.daemons = append(s.daemons, &sendmailDaemon{mta: s, name: name, listeners: listeners})
	}
}

func (s *Sendmail) components() []Component {
	var components []Component
	for _, d := range s.daemons {
		components = append(components, d)
	}
	return components
}

func (s *Sendmail) choosePorts() error {
	s.addrs = make(map[string]string)
	for _, d := range s.daemons {
		for _, l := range d.listeners {
			if s.addrs[l.Name] != "" || len(l.Settings) > 0 {
				return fmt.Errorf("two listeners are called %q, or it has settings", l.Name)
			}
			port, err := s.Root.FreePort()
			if err != nil {
				return err
			}
			s.addrs[l.Name] = net.JoinHostPort(cmp.Or(s.Host, "127.0.0.1"), strconv.Itoa(port))
		}
	}
	return nil
}

// path is the path of a file of Sendmail's.
func (s *Sendmail) path(elem ...string) string {
	return s.Root.Path(append([]string{"sendmail"}, elem...)...)
}

// The devices that it needs besides the log.
var devices = []string{"null", "random", "urandom", "zero"}

// makeTree makes what all its processes share: the queue, and the files that
// they see instead of the machine's own. See namespace.
func (s *Sendmail) makeTree() error {
	var errs []error
	for _, dir := range []string{"queue", "dev"} {
		_, err := s.Root.mkdir("sendmail", dir)
		errs = append(errs, err)
	}
	errs = append(errs, os.Chmod(s.path("queue"), 0o700))
	hosts := "127.0.0.1 localhost " + sendmailHost + " sm\n"
	for addr, name := range s.Hosts {
		hosts += addr + " " + name + "\n"
	}
	files := map[string]string{
		"hosts":          hosts,
		"nsswitch.conf":  "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
		"service.switch": "hosts files\n",
		"namespace":      s.namespace(),
	}
	for _, name := range devices {
		files["dev/"+name] = ""
	}
	for name, content := range files {
		errs = append(errs, s.Root.write(s.path(name), content))
	}
	return errors.Join(errs...)
}

// namespace is the script that starts a process, given its configuration, in
// mount and UTS namespaces of its own. Without a qualified host name that is
// known without a name server, Sendmail would sleep for two minutes first. What
// it logs goes to the socket /dev/log.
func (s *Sendmail) namespace() string {
	var b strings.Builder
	fmt.Fprintf(&b, "set -e\nhostname %s\n", sendmailHost)
	for _, name := range []string{"hosts", "nsswitch.conf"} {
		fmt.Fprintf(&b, "mount --bind %s /etc/%s\n", s.path(name), name)
	}
	for _, name := range devices {
		fmt.Fprintf(&b, "mount --bind /dev/%s %s\n", name, s.path("dev", name))
	}
	fmt.Fprintf(&b, "mount --rbind %s /dev\n", s.path("dev"))
	fmt.Fprintf(&b, "exec setpriv --reuid=%d --regid=%d --clear-groups --pdeathsig=KILL %s -bD -C\"$1\"\n",
		s.Root.uid, s.Root.gid, filepath.Join(sendmailTree, "usr/libexec/sendmail/sendmail"))
	return b.String()
}

// Start implements [Component].
func (d *sendmailDaemon) Start() error {
	dir, err := d.mta.Root.mkdir("sendmail", d.name)
	if err != nil {
		return err
	}
	cf := filepath.Join(dir, "sendmail.cf")
	if err := d.writeConfig(cf); err != nil {
		return fmt.Errorf("stack: %s: %w", d.name, err)
	}
	libraries, err := filepath.Glob(sendmailTree + "/usr/lib/*-linux-gnu*")
	if err != nil || len(libraries) != 1 {
		return fmt.Errorf("stack: %s: no libraries below %s: %v", d.name, sendmailTree, err)
	}
	d.grace = stopLimit
	env := []string{"LD_LIBRARY_PATH=" + libraries[0]}
	if err := d.launch(d.mta.Root, d.name, dir, nil, env, "unshare", "--mount", "--uts", "--propagation", "private",
		"sh", d.mta.path("namespace"), cf); err != nil {
		return err
	}
	return d.ready("greeting", func() bool { return greets(d.mta.Addr(readyListener + d.name)) })
}

// Stop implements [Component].
func (s *Sendmail) Stop() error {
	return errors.Join(Stop(s.components()...), s.sink.stop(), s.syslog.stop())
}

// Log implements [Component]: the end of the mail log.
func (s *Sendmail) Log() string {
	text := tail(s.path("maillog"))
	for _, d := range s.daemons {
		text += d.daemon.Log()
	}
	return text
}

// LogOf is what the mail log says about a message.
func (s *Sendmail) LogOf(id string) string { return logOf(s.path("maillog"), id) }

// Failures are the lines of the mail log in which Sendmail gives up a milter,
// which it knows by its socket. Source: sendmail/milter.c, milter_error.
func (s *Sendmail) Failures(socket string) []string {
	b, err := os.ReadFile(s.path("maillog"))
	if err != nil {
		return []string{err.Error()}
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "Milter ("+s.filterName(socket)+"): to error state") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
