package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/bench"
	"github.com/milterkit/sdk/test/stack"
)

// An office is a Postfix with a listener for each arrangement of milters, and
// what stands behind them.
type office struct {
	run     *run
	disk    *stack.Root // where programs can be started from
	root    *stack.Root // all else: in memory, where there is such a place
	postfix *stack.Postfix
	binary  *stack.Binary

	started []stack.Component      // by us, in order
	between map[string]*bench.Part // by the listener
	kits    []*stack.Milterkit
	filters []*bench.Part // the trivial ones
	source  string        // the program
	memory  bool          // root is in memory

	letterSize int
}

// lookup finds a program, also where only root's PATH leads.
func lookup(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

// lacking returns what is to be installed for programs, nil for nothing.
func lacking(packages string, programs ...string) *missing {
	for _, p := range programs {
		if _, err := lookup(p); err != nil {
			return &missing{"the program " + p + " is not installed", "apt-get install " + packages}
		}
	}
	return nil
}

// openOffice makes an office. Close ends it. The error is a *missing where
// Postfix cannot be had.
func openOffice(r *run) (o *office, err error) {
	if lacks := lacking("postfix", "master", "smtp-source"); lacks != nil {
		return nil, lacks
	}
	if os.Geteuid() != 0 {
		return nil, &missing{"Postfix can only be started by root", "sudo make bench"}
	}
	o = &office{run: r, between: map[string]*bench.Part{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.source, err = lookup("smtp-source"); err != nil {
		return o, err
	}
	if o.disk, err = stack.NewRoot(); err != nil {
		return o, err
	}
	o.root = o.disk
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(shm, &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
		if o.root, err = stack.NewRootBelow(shm); err != nil {
			return o, err
		}
		o.memory = true
	}
	o.binary = &stack.Binary{Root: o.disk, Plain: true}
	if err = o.binary.Build(r.ctx); err != nil {
		return o, err
	}
	return o, o.withSink()
}

// withSink starts smtp-sink, and sets Postfix up to hand all mail to it.
func (o *office) withSink() error {
	program, err := lookup("smtp-sink")
	if err != nil {
		return err
	}
	port, err := o.root.FreePort()
	if err != nil {
		return err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	if _, err := o.run.lab.Program("smtp-sink", program, "-u", "nobody", at, "1024"); err != nil {
		return err
	}
	o.postfix = &stack.Postfix{Root: o.root, Settings: []string{
		fmt.Sprintf("relay_transport = smtp:[127.0.0.1]:%d", port),
		fmt.Sprintf("default_transport = smtp:[127.0.0.1]:%d", port),
		"max_use = 100000", // of a process, which is begun anew then
	}}
	return answers(o.run.ctx, bench.Addr{Network: "tcp", Addr: at})
}

// close ends all that was started.
func (o *office) close() error {
	err := stack.Stop(o.started...)
	if o.root != nil && o.root != o.disk {
		err = errors.Join(err, o.root.Remove())
	}
	if o.disk != nil {
		err = errors.Join(err, o.disk.Remove())
	}
	return err
}

// start starts components, all at once.
func (o *office) start(components ...stack.Component) error {
	o.started = append(o.started, components...)
	return stack.Start(components...)
}

// trivial starts filters that do no work, and returns them as children.
func (o *office) trivial(n int) ([]stack.Child, error) {
	addrs, part, err := o.run.lab.Filters(o.run.ctx, bench.Filters{Count: n})
	if err != nil {
		return nil, err
	}
	o.filters = []*bench.Part{part}
	var children []stack.Child
	for i, a := range addrs {
		// smtpd comes as the user postfix, milterkit as nobody.
		if err := errors.Join(os.Chmod(filepath.Dir(a.Addr), 0o755), os.Chmod(a.Addr, 0o666)); err != nil {
			return nil, err
		}
		children = append(children, stack.Child{Name: fmt.Sprintf("trivial%d", i+1), Socket: "unix:" + a.Addr})
	}
	return children, nil
}

// direct adds a listener with milters.
func (o *office) direct(name string, children ...stack.Child) {
	l := stack.Listener{Name: name}
	for _, c := range children {
		l.Milters = append(l.Milters, c.Socket)
	}
	o.postfix.Listeners = append(o.postfix.Listeners, l)
}

// relay adds a listener with a relay before a milter.
func (o *office) relay(child stack.Child) error {
	to := bench.Addr{Network: "unix", Addr: strings.TrimPrefix(child.Socket, "unix:")}
	at, part, err := o.run.lab.Relay(o.run.ctx, to)
	if err != nil {
		return err
	}
	o.between[oneRelay] = part
	o.direct(oneRelay, stack.Child{Socket: "unix:" + at.Addr})
	return os.Chmod(at.Addr, 0o666)
}

// behind adds a listener with milterkit, and the milters behind that.
func (o *office) behind(name string, port int, children ...stack.Child) error {
	kit := &stack.Milterkit{Root: o.root, Binary: o.binary, Name: fmt.Sprintf("milterkit%d", len(o.kits)+1), Port: port, Children: children}
	o.kits = append(o.kits, kit)
	o.postfix.Listeners = append(o.postfix.Listeners, stack.Listener{Name: name, Milters: []string{kit.Socket()}})
	if err := o.start(kit); err != nil {
		return err
	}
	o.between[name] = bench.Running("milterkit", kit.Pid())
	return nil
}

// together returns the children as a group.
func together(children []stack.Child) []stack.Child {
	var group []stack.Child
	for i, c := range children {
		c.Together = i > 0
		group = append(group, c)
	}
	return group
}

// contestants are listeners as contestants, for that many sessions.
func (o *office) contestants(sessions int, s source, listeners ...string) []*bench.Contestant {
	var all []*bench.Contestant
	for _, name := range listeners {
		one := s
		one.program, one.sessions, one.to = o.source, sessions, o.postfix.Addr(name)
		one.drain = emptied(o.root.Path("postfix", "queue"))
		// Those of filters that a listener does not have are idle in its turns.
		all = append(all, &bench.Contestant{Name: name, Play: one.play, Between: o.between[name], Filters: o.filters})
	}
	return all
}

// Listeners, and contestants of these names.
const (
	noMilter      = "no milter"
	oneDirect     = "one, direct"
	oneRelay      = "one, relay"
	oneBehind     = "one, milterkit"
	oneTCP        = "one, milterkit at a TCP port"
	threeDirect   = "three, direct"
	threeBehind   = "three, milterkit"
	threeTogether = "three, milterkit together"
	slowestAlone  = "spamass-milter alone, direct"
	realDirect    = "real three, direct"
	realTogether  = "real three, milterkit together"
)

// inOffice makes an office for a section. Where it cannot be had, that is noted.
func (r *run) inOffice(use func(*office) error) (err error) {
	o, err := openOffice(r)
	if lacks := (*missing)(nil); errors.As(err, &lacks) {
		r.leaveOut("Postfix, end to end", lacks)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if err := use(o); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(o.postfix.Warnings(), "\n"))
	}
	return nil
}

// postfix is the section of Postfix with filters that do no work.
func (r *run) postfix() error {
	return r.inOffice(func(o *office) error {
		three, err := o.trivial(3)
		if err != nil {
			return err
		}
		port, err := o.root.FreePort()
		if err != nil {
			return err
		}
		o.direct(noMilter)
		o.direct(oneDirect, three[0])
		o.direct(threeDirect, three...)
		if err := errors.Join(o.relay(three[0]), o.behind(oneBehind, 0, three[0]), o.behind(oneTCP, port, three[0]),
			o.behind(threeBehind, 0, three...), o.behind(threeTogether, 0, together(three)...)); err != nil {
			return err
		}
		if err := o.start(o.postfix); err != nil {
			return err
		}
		return o.trivialContests()
	})
}

// real is the section of Postfix with filters that people have.
func (r *run) real() error {
	return r.inOffice(func(o *office) error {
		if lacks := lacking("opendkim clamav-daemon clamav-milter spamassassin spamd spamc spamass-milter",
			"opendkim", "clamd", "clamav-milter", "spamd", "spamc", "spamass-milter"); lacks != nil {
			r.leaveOut("Postfix with OpenDKIM, clamav-milter and spamass-milter", lacks)
			return nil
		}
		if err := o.startReal(); err != nil {
			return err
		}
		return o.realContests()
	})
}

// startReal starts OpenDKIM as a verifier, clamav-milter and spamass-milter, and
// a Postfix with listeners for them.
func (o *office) startReal() error {
	key, err := o.writeLetter()
	if err != nil {
		return err
	}
	dkim := &stack.OpenDKIM{Root: o.root, Name: "opendkim", Key: key}
	// As slow as one is with all the viruses there are, and mail that differs.
	clamd := &stack.Clamd{Root: o.root, MadeUp: 100_000, Forgetful: true}
	spamd := &stack.Spamd{Root: o.root}
	clamav := &stack.ClamavMilter{Root: o.root, Clamd: clamd}
	spamass := &stack.SpamassMilter{Root: o.root, Spamd: spamd}
	if err := o.start(dkim, clamd, spamd); err != nil {
		return err
	}
	// clamav-milter defers mail for a while when it starts before clamd.
	if err := o.start(clamav, spamass); err != nil {
		return err
	}
	children := []stack.Child{
		{Name: "opendkim", Socket: dkim.Socket()},
		{Name: "clamav", Socket: clamav.Socket()},
		{Name: "spamassassin", Socket: spamass.Socket()},
	}
	o.direct(slowestAlone, children[2])
	o.direct(realDirect, children...)
	if err := o.behind(realTogether, 0, together(children)...); err != nil {
		return err
	}
	return o.start(o.postfix)
}

// writeLetter writes the letter, and returns the key with which it is signed.
func (o *office) writeLetter() (*stack.DKIMKey, error) {
	key, err := stack.NewDKIMKey()
	if err != nil {
		return nil, err
	}
	mail, err := letter(key)
	if err != nil {
		return nil, err
	}
	o.letterSize = len(mail)
	return key, os.WriteFile(o.letterFile(), mail, 0o644)
}

// letterFile is a mail for filters that look at what they are given.
func (o *office) letterFile() string { return o.root.Path("letter") }

// mailSize is that of the other mails here, by smtp-source's own count.
const mailSize = 4096

// contest holds a contest of listeners.
func (o *office) contest(title string, children, sessions int, turn time.Duration, s source, listeners ...string) (bench.Taken, error) {
	where := ", its queue on a disk"
	if o.memory {
		where = ", its queue in memory"
	}
	s.size = mailSize
	mail := bench.Mail{Name: "short, by smtp-source", Header: 300, Body: mailSize - 300, Recipients: 1}
	if s.file != "" {
		mail = bench.Mail{Name: "letter", Header: 700, Body: o.letterSize - 700, Recipients: 1}
	}
	p := bench.Point{Scenario: "postfix", Mail: mail, Messages: 1, Sessions: sessions, Children: children, Kind: "remote"}
	r := *o.run
	r.time = max(turn, r.time)
	return r.hold("through Postfix"+where+": "+title+", "+sessionsOf(sessions), p, o.contestants(sessions, s, listeners...))
}
