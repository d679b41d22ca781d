package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A Who is a user that connects.
type Who struct {
	Name   string
	UID    int
	Groups []int
}

// Lookup returns a user with all groups.
func Lookup(name string) (Who, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return Who{}, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return Who{}, err
	}
	w := Who{Name: name}
	if w.UID, err = strconv.Atoi(u.Uid); err != nil {
		return Who{}, err
	}
	for _, id := range append([]string{u.Gid}, ids...) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return Who{}, err
		}
		if !slices.Contains(w.Groups, n) {
			w.Groups = append(w.Groups, n)
		}
	}
	return w, nil
}

// Myself is the user of this process.
func Myself() Who {
	w := Who{Name: userName(os.Geteuid()), UID: os.Geteuid(), Groups: []int{os.Getegid()}}
	if more, err := os.Getgroups(); err == nil {
		w.Groups = append(w.Groups, more...)
	}
	return w
}

// group is the name of the group that files of the user have.
func (w Who) group() string { return groupName(w.Groups[0]) }

func userName(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return strconv.Itoa(id)
}

func groupName(id int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(id)); err == nil {
		return g.Name
	}
	return strconv.Itoa(id)
}

// A barrier is what keeps somebody from a socket: a folder that may not be entered,
// or the socket itself.
type barrier struct {
	path     string
	mode     fs.FileMode
	uid, gid int
	socket   bool
}

// need is the bit of others.
func (b *barrier) need() fs.FileMode {
	if b.socket {
		return 0o002
	}
	return 0o001
}

// stops reports whether the mode keeps somebody out.
func (b *barrier) stops(w Who) bool {
	need := b.need()
	switch {
	case w.UID == 0:
		return false
	case w.UID == b.uid:
		need <<= 6
	case slices.Contains(w.Groups, b.gid):
		need <<= 3
	}
	return b.mode&need == 0
}

// String is the barrier with what ls shows of it.
func (b *barrier) String() string {
	what := "the folder"
	if b.socket {
		what = "the socket"
	}
	return fmt.Sprintf("%s %s (%s:%s %04o)", what, b.path, userName(b.uid), groupName(b.gid), b.mode.Perm())
}

// barrierTo returns what stops somebody on the way from a folder to a socket, nil
// where nothing does. An error is that of looking. Modes are looked at, and no lists
// of access.
func barrierTo(w Who, from, socket string) (*barrier, error) {
	real, err := filepath.EvalSymlinks(socket)
	if errors.Is(err, fs.ErrPermission) { // the walk comes to it
		real, err = path.Clean(socket), nil
	}
	if err != nil {
		return nil, err
	}
	if from != "/" {
		if from, err = filepath.EvalSymlinks(from); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(real, from+"/") {
			from = "/"
		}
	}
	at := from
	names := strings.Split(strings.Trim(strings.TrimPrefix(real, from), "/"), "/")
	for i := -1; i < len(names); i++ {
		if i >= 0 {
			at = path.Join(at, names[i])
		}
		fi, err := os.Stat(at)
		if err != nil {
			return nil, err
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return nil, nil
		}
		b := &barrier{path: at, mode: fi.Mode().Perm(), uid: int(st.Uid), gid: int(st.Gid), socket: i == len(names)-1}
		if b.stops(w) {
			return b, nil
		}
	}
	return nil, nil
}

// join is the mend by which somebody else's socket is reached: its group, where that
// may, else a mode.
func (b *barrier) join(w Who) Mend {
	if b.mode&(b.need()<<3) != 0 && b.gid != 0 && !slices.Contains(w.Groups, b.gid) {
		return command("usermod -aG %s %s", groupName(b.gid), w.Name)
	}
	to := "o"
	if slices.Contains(w.Groups, b.gid) {
		to = "g"
	}
	if b.socket {
		return command("chmod %s+w %s", to, b.path)
	}
	return command("chmod %s+x %s", to, b.path)
}

// joined reports whether the user has come into a group since its process w began.
func (w Who) joined(is Who, gid int) bool {
	return w.UID == is.UID && slices.Contains(is.Groups, gid) && !slices.Contains(w.Groups, gid)
}

// Denied says of a socket to which the user of this process may not connect who that
// is, what is in the way, and what to do about it. It is "" where the modes do not
// say.
func Denied(socket string) string {
	w := Myself()
	b, err := barrierTo(w, "/", socket)
	if err != nil || b == nil {
		return ""
	}
	if is, err := Lookup(w.Name); err == nil && w.joined(is, b.gid) {
		return fmt.Sprintf("the user %s is kept out by %s, as it came into the group %s after this process was started: systemctl restart milterkit (milterkit restart keeps the groups)",
			w.Name, b, groupName(b.gid))
	}
	return fmt.Sprintf("the user %s is kept out by %s: %s", w.Name, b, b.join(w).Line)
}
