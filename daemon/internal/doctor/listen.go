package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
)

// A Knock asks whether who answers at a socket is a milter, as a user in a folder
// that it takes for / ("" for none).
type Knock func(who Who, chroot string, at socket.Addr) Answer

// Postfix looks whether Postfix finds milterkit's sockets, and gets in.
func (r *Report) Postfix(p *Postfix, c *config.Config, knock Knock) {
	mta, err := Lookup(p.value(nil, "mail_owner"))
	if err != nil {
		r.wrong(Finding{"mail-owner", "Postfix", fmt.Sprintf("mail_owner: %v", err), []Mend{p.set(nil, "mail_owner", "postfix")}})
		return
	}
	l := &listening{Report: r, p: p, c: c, mta: mta, knock: knock, done: map[string]bool{}}
	var ours, lost []entry
	for _, e := range p.entries() {
		switch {
		case l.ours(e):
			ours = append(ours, e)
		case l.meant(e) != nil:
			lost = append(lost, e)
		default:
			l.direct(e)
		}
	}
	for _, e := range lost {
		l.astray(e)
		r.Times(p, c, e)
	}
	if len(ours)+len(lost) == 0 {
		l.unknown()
	}
	for _, e := range ours {
		l.reach(e)
		r.Times(p, c, e)
	}
}

// listening is what is looked at of the sockets.
type listening struct {
	*Report
	p     *Postfix
	c     *config.Config
	mta   Who
	knock Knock
	done  map[string]bool // what has been told
}

// once reports whether something has not been told yet.
func (l *listening) once(key string) bool {
	told := l.done[key]
	l.done[key] = true
	return !told
}

// same reports whether a socket of milterkit's is where an entry leads.
func same(s, at socket.Addr) bool {
	if s.Network == "unix" || at.Network == "unix" {
		return s == at
	}
	host, port, err1 := net.SplitHostPort(s.Addr)
	theirs, to, err2 := net.SplitHostPort(at.Addr)
	if err1 != nil || err2 != nil || port != to {
		return false
	}
	any := net.ParseIP(host)
	return host == theirs || any != nil && any.IsUnspecified() || local(host) && theirs == "localhost" || host == "localhost" && local(theirs)
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (l *listening) ours(e entry) bool {
	return slices.ContainsFunc(l.c.Server.Listen.V, func(s config.Socket) bool { return same(s, e.addr) })
}

// meant returns the socket of milterkit's that an entry seems to be meant for, nil
// where it is another milter's.
func (l *listening) meant(e entry) *config.Socket {
	_, written, _ := strings.Cut(e.spec, ":")
	for i := range l.c.Server.Listen.V {
		s := &l.c.Server.Listen.V[i]
		switch {
		case s.Network == "unix" && e.addr.Network == "unix":
			if path.Base(s.Addr) == path.Base(written) && (strings.HasSuffix(s.Addr, "/"+strings.TrimPrefix(written, "/")) || strings.HasSuffix(e.addr.Addr, s.Addr) || strings.Contains(written, "milterkit")) {
				return s
			}
		case s.Network != "unix" && e.addr.Network != "unix" && e.addr != (socket.Addr{}):
			_, port, _ := net.SplitHostPort(s.Addr)
			_, to, _ := net.SplitHostPort(e.addr.Addr)
			if port == to && port != "" {
				return s
			}
		}
	}
	return nil
}

// spec is how a service is to name a socket, "" where it cannot find it.
func (l *listening) spec(s *service, at config.Socket) string {
	if at.Network != "unix" {
		host, port, err := net.SplitHostPort(at.Addr)
		if err != nil {
			return ""
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return "inet:" + net.JoinHostPort(host, port)
	}
	queue := l.p.queue(s)
	if in, ok := strings.CutPrefix(at.Addr, queue+"/"); ok {
		return "unix:" + in
	}
	if s != nil && s.chroot {
		return ""
	}
	return "unix:" + at.Addr
}

// move are the mends that have milterkit listen where a chroot leads, and where that
// is as Postfix calls it.
func (l *listening) move(s *service, at config.Socket) (mends []Mend, spec string) {
	queue := l.p.queue(s)
	folder := path.Join(queue, "milterkit")
	to := config.Socket{Network: "unix", Addr: path.Join(folder, path.Base(at.Addr))}
	var listen []string
	for _, old := range l.c.Server.Listen.V {
		if old == at {
			old = to
		}
		listen = append(listen, strconv.Quote(old.String()))
	}
	mends = []Mend{
		command("install -d -o %s -g %s -m 750 %s", l.c.Server.User.V, l.mta.group(), folder),
		serverKey(l.c, "listen = [%s]", strings.Join(listen, ", ")),
	}
	if l.c.Server.SocketGroup.V != l.mta.group() {
		mends = append(mends, serverKey(l.c, "socket_group = %q", l.mta.group()))
	}
	return mends, "unix:milterkit/" + path.Base(at.Addr)
}

// astray tells of an entry that does not lead where it should.
func (l *listening) astray(e entry) {
	at := *l.meant(e)
	f := Finding{Rule: "socket-path", About: "Postfix",
		Message: fmt.Sprintf("%s has %s in %s, which is %s; milterkit listens on %s", e.service, e.spec, e.parameter, e.addr, at)}
	spec := l.spec(e.service, at)
	if e.service.chroot && at.Network == "unix" {
		f.Rule = "chroot"
		f.Message += fmt.Sprintf(": the service runs in a chroot (y in its fifth column), where paths begin at %s", l.p.queue(e.service))
	}
	if spec == "" {
		f.Mend, spec = l.move(e.service, at)
	}
	f.Mend = append(f.Mend, l.p.replaced(e, strings.Replace(e.text, e.spec, spec, 1)))
	if l.once(f.Mend[len(f.Mend)-1].Line + f.Mend[0].Line) {
		l.wrong(f)
	}
}

// unknown tells that Postfix does not know of milterkit.
func (l *listening) unknown() {
	var first *service
	for i := range l.p.services {
		if l.p.services[i].program == "smtpd" {
			first = &l.p.services[i]
			break
		}
	}
	if len(l.c.Server.Listen.V) == 0 {
		return
	}
	at := l.c.Server.Listen.V[0]
	if at.Network == "systemd" {
		l.Note("%s: which socket that is stands in its unit, and is not looked at", at)
		return
	}
	f := Finding{Rule: "not-asked", About: "Postfix", Message: fmt.Sprintf("no smtpd of %s asks milterkit: smtpd_milters has nothing that leads to %s", l.p.masterCF(), at)}
	spec := l.spec(first, at)
	if spec == "" {
		f.Mend, spec = l.move(first, at)
	}
	for _, item := range split(l.p.value(first, "smtpd_milters"), ", \t") {
		if l.child(l.p.entry(first, "smtpd_milters", item)) == nil {
			spec += ", " + item // one that is not behind milterkit
		}
	}
	f.Mend = append(f.Mend, l.p.set(first, "smtpd_milters", spec))
	l.wrong(f)
}

// child returns the milter behind milterkit to which an entry leads, nil where it is
// none of them.
func (l *listening) child(e entry) *config.Milter {
	for i := range l.c.Milters {
		if m := &l.c.Milters[i]; m.Enabled.V && m.Use.V == "" && e.addr != (socket.Addr{}) && same(e.addr, m.Socket.V) {
			return m
		}
	}
	return nil
}

// direct looks whether Postfix asks a milter besides that milterkit asks.
func (l *listening) direct(e entry) {
	m := l.child(e)
	if m == nil || !slices.ContainsFunc(l.p.entries(), func(o entry) bool { return o.service == e.service && l.ours(o) }) {
		return
	}
	rest := slices.DeleteFunc(split(l.p.value(e.service, e.parameter), ", \t"), func(item string) bool { return item == e.text })
	mend := l.p.set(e.service, e.parameter, strings.Join(rest, ", "))
	if l.once(mend.Line) {
		l.wrong(Finding{"asked-twice", "Postfix", fmt.Sprintf("%s asks %s itself, and milterkit asks it again as %s", e.service, e.spec, m.Name.V), []Mend{mend}})
	}
}

// reach looks whether Postfix gets to the socket of an entry.
func (l *listening) reach(e entry) {
	chroot := ""
	if e.service.chroot {
		chroot = l.p.queue(e.service)
	}
	if !l.once(e.addr.String() + "\x00" + e.from) {
		l.right("Postfix", "%s asks milterkit on %s", e.service, e.addr)
		return
	}
	if e.addr.Network == "unix" {
		b, err := barrierTo(l.mta, e.from, e.addr.Addr)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			l.absent(e)
			return
		case b != nil:
			l.stopped(e, b)
			return
		}
	}
	a := l.knock(l.mta, chroot, e.addr)
	switch {
	case a.Error == "":
		l.right("Postfix", "%s asks milterkit on %s, as %s", e.service, e.addr, l.mta.Name)
	case a.Stranger != "":
		l.wrong(Finding{"not-milterkit", "Postfix", fmt.Sprintf("what answers on %s is %s, not milterkit", e.addr, a.Stranger), []Mend{command("systemctl restart milterkit")}})
	case a.Denied:
		l.wrong(Finding{"denied", "Postfix", fmt.Sprintf("%s may not connect to %s, though the modes of the files let it: an access list, SELinux or AppArmor does not", l.mta.Name, e.addr),
			[]Mend{command("getfacl -p %s", e.addr.Addr), command("journalctl -k -g 'apparmor|avc'")}})
	case a.Unnamed:
		l.noHost(e, chroot, a)
	default:
		l.wrong(Finding{"not-running", "Postfix", fmt.Sprintf("milterkit does not answer on %s: %s", e.addr, a.Error), []Mend{command("systemctl restart milterkit")}})
	}
}

// noHost tells that Postfix does not know the host of an entry: in a chroot it looks
// into the etc/hosts there.
func (l *listening) noHost(e entry, chroot string, a Answer) {
	f := Finding{Rule: "no-host", About: "Postfix", Message: fmt.Sprintf("%s does not know the host of %s: %s", e.service, e.spec, a.Error)}
	if chroot != "" {
		f.Message += fmt.Sprintf("; it runs in a chroot, whose hosts stand in %s/etc/hosts", chroot)
	}
	i := slices.IndexFunc(l.c.Server.Listen.V, func(s config.Socket) bool { return same(s, e.addr) })
	spec := strings.Replace(l.spec(e.service, l.c.Server.Listen.V[i]), ":localhost:", ":127.0.0.1:", 1)
	f.Mend = []Mend{l.p.replaced(e, strings.Replace(e.text, e.spec, spec, 1))}
	l.wrong(f)
}

// absent tells that there is no socket, and what would be wrong with it.
func (l *listening) absent(e entry) {
	folder := path.Dir(e.addr.Addr)
	fi, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.wrong(Finding{"no-folder", "Postfix", fmt.Sprintf("there is no folder %s for the socket of milterkit", folder),
			[]Mend{command("install -d -o %s -g %s -m 750 %s", l.c.Server.User.V, l.mta.group(), folder), command("systemctl restart milterkit")}})
	case err != nil || !fi.IsDir():
		l.wrong(Finding{"no-folder", "Postfix", fmt.Sprintf("%s, where the socket is to be, is no folder", folder), []Mend{command("mv %s %s.old", folder, folder)}})
	default:
		l.wrong(Finding{"not-running", "Postfix", fmt.Sprintf("milterkit does not run, or not with this configuration: there is no socket %s", e.addr.Addr), []Mend{command("systemctl restart milterkit")}})
	}
	if gid, err := groupID(l.c.Server.SocketGroup.V); err == nil {
		b := &barrier{path: e.addr.Addr, mode: l.c.Server.SocketMode.V, uid: -1, gid: gid, socket: true}
		if b.stops(l.mta) {
			l.wrong(Finding{"socket-group", "Postfix", fmt.Sprintf("%s, of no group that could connect, would be kept out by the socket: socket_group is %q, socket_mode %04o",
				l.mta.Name, l.c.Server.SocketGroup.V, l.c.Server.SocketMode.V), l.letIn(b)[:1]})
		}
	}
}

func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return strconv.Atoi(name)
	}
	return strconv.Atoi(g.Gid)
}

// stopped tells of what keeps Postfix from the socket.
func (l *listening) stopped(e entry, b *barrier) {
	f := Finding{Rule: "folder-mode", About: "Postfix", Message: fmt.Sprintf("%s may not connect to %s: %s keeps it out", l.mta.Name, e.addr, b)}
	if b.socket {
		f.Rule = "socket-mode"
		if !slices.Contains(l.mta.Groups, b.gid) {
			f.Rule = "socket-group"
			f.Message += fmt.Sprintf("; it is in %s", l.groups())
		}
		f.Mend = l.letIn(b)
	} else {
		f.Mend = []Mend{b.enter(l.mta)}
		if userName(b.uid) == l.c.Server.User.V && !slices.Contains(l.mta.Groups, b.gid) {
			f.Mend = []Mend{command("chgrp %s %s", l.mta.group(), b.path), command("chmod g+x %s", b.path)}
		}
	}
	l.wrong(f)
}

// enter is the mend by which a folder is entered.
func (b *barrier) enter(w Who) Mend {
	if slices.Contains(w.Groups, b.gid) {
		return command("chmod g+x %s", b.path)
	}
	return command("chmod o+x %s", b.path)
}

func (l *listening) groups() string {
	var names []string
	for _, id := range l.mta.Groups {
		names = append(names, groupName(id))
	}
	return strings.Join(names, ", ")
}

// letIn are the mends of a socket's group and mode: in the configuration, and until
// serve is started anew.
func (l *listening) letIn(b *barrier) (mends []Mend) {
	s := &l.c.Server
	var now []Mend
	if !slices.Contains(l.mta.Groups, b.gid) {
		group := l.mta.group()
		if s.SocketGroup.V != group {
			mends = append(mends, serverKey(l.c, "socket_group = %q", group))
		}
		now = append(now, command("chgrp %s %s", group, b.path))
	}
	if b.mode&0o020 == 0 {
		if s.SocketMode.V&0o020 == 0 {
			mends = append(mends, serverKey(l.c, `socket_mode = "%04o"`, s.SocketMode.V|0o060))
		}
		now = append(now, command("chmod %04o %s", b.mode|0o060, b.path))
	}
	return append(mends, now...)
}
