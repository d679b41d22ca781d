package detect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	maxFile  = 1 << 20 // bytes of one file; services and their configurations have far less
	maxLinks = 40      // on the way to one file, as Linux has it
	maxNames = 10000   // in one folder
)

// A tree is the files of a system, which may lie below a folder.
type tree struct{ root string }

// host returns where a path of the tree is on this machine. Links are followed
// within the tree: what they call /etc is that of the tree.
func (t tree) host(name string) (string, error) {
	rest := strings.Split(path.Clean("/"+name), "/")
	at, links := "/", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		fi, err := os.Lstat(filepath.Join(t.root, next))
		if err != nil {
			return "", err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", syscall.ELOOP
		}
		to, err := os.Readlink(filepath.Join(t.root, next))
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(to, "/") {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return filepath.Join(t.root, at), nil
}

// read returns the text of a file.
func (t tree) read(name string) (string, error) {
	at, err := t.host(name)
	if err != nil {
		return "", err
	}
	if fi, err := os.Lstat(at); err == nil && !fi.Mode().IsRegular() {
		return "", errors.New("it is not a file") // to open a device may do something
	}
	f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0) // never waits for the other end of a pipe
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", errors.New("it is not a file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxFile:
		return "", fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return string(data), nil
}

// stat describes what a path leads to; nil: nothing is there, or it may not be seen.
func (t tree) stat(name string) fs.FileInfo {
	at, err := t.host(name)
	if err != nil {
		return nil
	}
	fi, err := os.Lstat(at)
	if err != nil {
		return nil
	}
	return fi
}

func (t tree) isFile(name string) bool {
	fi := t.stat(name)
	return fi != nil && fi.Mode().IsRegular()
}

func (t tree) isFolder(name string) bool {
	fi := t.stat(name)
	return fi != nil && fi.IsDir()
}

// link returns what the link at a path says, and whether it is one.
func (t tree) link(name string) (string, bool) {
	folder, err := t.host(path.Dir(name))
	if err != nil {
		return "", false
	}
	to, err := os.Readlink(filepath.Join(folder, path.Base(name)))
	return to, err == nil
}

// names lists a folder by name; what is not there has none.
func (t tree) names(folder string) ([]string, error) {
	at, err := t.host(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, nil
		}
		return nil, err
	}
	var all []string
	for _, e := range entries[:min(len(entries), maxNames)] {
		all = append(all, e.Name())
	}
	return all, nil
}
