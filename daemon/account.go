package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/listen"
)

// An account is whom the daemon runs as.
type account struct {
	name     string
	uid, gid int
	groups   []int
}

// lookupAccount finds a user by name or number.
func lookupAccount(name string) (*account, error) {
	u, err := user.Lookup(name)
	if errors.As(err, new(user.UnknownUserError)) {
		if byID, idErr := user.LookupId(name); idErr == nil {
			u, err = byID, nil
		}
	}
	if errors.As(err, new(user.UnknownUserError)) {
		return nil, fmt.Errorf("the system has no user %q; make it with useradd --system, or name another", name)
	}
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", name, err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of %q are not known: %w", name, err)
	}
	a := &account{name: u.Username}
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		a.groups = append(a.groups, n)
	}
	a.uid, a.gid, a.groups = a.groups[0], a.groups[1], a.groups[2:]
	return a, nil
}

// become makes this process one of the account, for good. The order matters:
// who is no longer root can change neither groups nor group.
func (a *account) become() error {
	groups := a.groups
	if !slices.Contains(groups, a.gid) {
		groups = append([]int{a.gid}, groups...)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("user %s: setgroups: %w", a.name, err)
	}
	if err := syscall.Setgid(a.gid); err != nil {
		return fmt.Errorf("user %s: setgid: %w", a.name, err)
	}
	if err := syscall.Setuid(a.uid); err != nil {
		return fmt.Errorf("user %s: setuid: %w", a.name, err)
	}
	return a.verify(groups)
}

// verify sees to it that nothing of root is left.
func (a *account) verify(groups []int) error {
	now, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("user %s: getgroups: %w", a.name, err)
	}
	slices.Sort(now)
	want := slices.Compact(slices.Sorted(slices.Values(groups)))
	if !slices.Equal(slices.Compact(now), want) {
		return fmt.Errorf("user %s: the groups are %v and should be %v", a.name, now, want)
	}
	if os.Getuid() != a.uid || os.Geteuid() != a.uid || os.Getgid() != a.gid || os.Getegid() != a.gid {
		return fmt.Errorf("user %s: the process is user %d/%d of group %d/%d instead", a.name, os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid())
	}
	if a.uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("user %s: the process could become root again", a.name)
	}
	return nil
}

// runsAs returns the account to become, or nil where the process stays what it
// is: it is not root, or is told to stay root.
func runsAs(c *config.Config) (*account, config.Errors) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	a, err := lookupAccount(c.Server.User.V)
	if err != nil {
		return nil, c.Fault("user", c.Server.User.From, err)
	}
	if a.uid == 0 {
		return nil, nil
	}
	return a, nil
}

// standIn is who tries out the milters where the user that the daemon would run
// as is not to be had.
const standIn = "nobody"

// triedAs is runsAs for trying out what a configuration names: where the user is
// not to be had the account is that of the stand-in, or nil if there is none.
func triedAs(c *config.Config) (a *account, noUser config.Errors) {
	if a, noUser = runsAs(c); len(noUser) > 0 {
		if other, err := lookupAccount(standIn); err == nil && other.uid != 0 {
			a = other
		}
	}
	return a, noUser
}

// markStandIn says of what the stand-in has found that the user may not find it.
func markStandIn(faults config.Errors) {
	for _, f := range faults {
		f.Message += " (tried as " + standIn + ")"
	}
}

// socketOwner returns who may connect to unix sockets, of which these are to be
// opened. A group that was asked for must be had; where it is only the default, and
// cannot be had, the warning says so.
func socketOwner(c *config.Config, sockets []config.Socket) (owner listen.Owner, warning string, fault config.Errors) {
	s := &c.Server
	owner = listen.Owner{Mode: s.SocketMode.V, Group: -1}
	if s.SocketGroup.V == "" {
		return owner, "", nil
	}
	opens := slices.ContainsFunc(sockets, func(l config.Socket) bool { return l.Network == "unix" })
	gid, err := lookupGroup(s.SocketGroup.V)
	if err == nil && opens && !mayGive(gid) {
		err = fmt.Errorf("this process is neither root nor in the group %q, so it cannot give its sockets to it", s.SocketGroup.V)
	}
	switch {
	case err == nil:
		owner.Group = gid
	case s.SocketGroup.From.IsDefault() && !opens:
		// There is nothing that could have a group.
	case s.SocketGroup.From.IsDefault():
		return owner, "sockets keep the group of the process: " + err.Error(), nil
	default:
		return owner, "", c.Fault("socket_group", s.SocketGroup.From, err)
	}
	return owner, "", nil
}

func lookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if errors.As(err, new(user.UnknownGroupError)) {
		if gid, err := strconv.ParseUint(name, 10, 31); err == nil { // a group needs no name
			return int(gid), nil
		}
		return 0, fmt.Errorf("the system has no group %q", name)
	}
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	return strconv.Atoi(g.Gid)
}

// mayGive reports whether this process can give its files to a group.
func mayGive(gid int) bool {
	groups, err := os.Getgroups()
	return os.Geteuid() == 0 || os.Getegid() == gid || err == nil && slices.Contains(groups, gid)
}

// checkTempDir makes sure that bodies can be put there.
func checkTempDir(c *config.Config) config.Errors {
	dir := c.Server.TempDir
	fi, err := os.Stat(dir.V)
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir.V)
	}
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir.V, "milterkit-"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return c.Fault("temp_dir", dir.From, err)
	}
	return nil
}
