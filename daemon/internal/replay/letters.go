// Package replay takes messages of files past milters as a mail server would, and
// compares what two chains of milters make of them. In reading order:
//
//	letters.go   the messages in files, folders, maildirs and mboxes
//	mbox.go      those of an mbox
//	facts.go     who sent a message, to whom, as its header tells
//	received.go  what a Received field tells
//	strip.go     a message as it was received
//	play.go      one message past the milters
//	compare.go   what two chains made of one message
//	masks.go     what differs by its nature
package replay

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxSize is the size of the largest message that is read, in bytes.
const MaxSize = 128 << 20

var errTooLarge = fmt.Errorf("it is larger than %d MiB, and left out", MaxSize>>20)

// A Letter is one message as it was found.
type Letter struct {
	Name   string // of its file; in an mbox with its number, from 1: "box:3"
	Text   []byte // the message, without an mbox's first line
	Sender string // of that line; "" where there is none
	Size   int64  // what it took of the file, in bytes
}

// Letters yields the messages of files, in their order: a message, an mbox, a folder
// of such, a maildir; "-" is standard input. Files of a folder go by name, those of a
// maildir (cur and new) by the time in it. An error is of the one letter, which has
// then a name and a size only.
func Letters(paths []string, stdin io.Reader) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		for _, path := range paths {
			files, err := filesOf(path)
			if err != nil && !yield(Letter{Name: path}, plain(err)) {
				return
			}
			for _, file := range files {
				if !lettersOf(file, stdin, yield) {
					return
				}
			}
		}
	}
}

// Total returns the bytes in the files, for telling how far one is; 0 where that is
// not known.
func Total(paths []string) (total int64) {
	for _, path := range paths {
		files, _ := filesOf(path)
		for _, file := range files {
			info, err := os.Stat(file)
			switch {
			case file == "-", err == nil && !info.Mode().IsRegular():
				return 0
			case err == nil:
				total += info.Size()
			}
		}
	}
	return total
}

// filesOf returns the files that a path stands for: itself, or those of the folder.
func filesOf(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	folders := []string{path}
	if isFolder(filepath.Join(path, "cur")) && isFolder(filepath.Join(path, "new")) {
		folders = []string{filepath.Join(path, "cur"), filepath.Join(path, "new")}
	}
	var files []string
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			file := filepath.Join(folder, e.Name())
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, file)
			}
		}
	}
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(filepath.Base(a), filepath.Base(b)) })
	if len(files) == 0 {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("there is no message in this folder")}
	}
	return files, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// lettersOf yields those of one file, and reports whether there may be more.
func lettersOf(file string, stdin io.Reader, yield func(Letter, error) bool) bool {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return yield(Letter{Name: file}, plain(err))
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 64<<10)
	if first, _ := r.Peek(len(fromLine)); string(first) == fromLine {
		return readMbox(file, r, yield)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	switch size := int64(len(text)); {
	case err != nil:
		return yield(Letter{Name: file, Size: size}, plain(err))
	case size > MaxSize:
		return yield(Letter{Name: file, Size: size}, errTooLarge)
	case len(bytes.TrimSpace(text)) == 0:
		return yield(Letter{Name: file, Size: size}, errors.New("there is no message in it"))
	}
	return yield(Letter{Name: file, Text: text, Size: int64(len(text))}, nil)
}

// plain returns an error without the name of the file, which is told beside it.
func plain(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
