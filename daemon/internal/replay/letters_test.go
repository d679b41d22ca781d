package replay

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read returns what Letters yields: "name: text", or "name: error".
func read(t *testing.T, stdin string, paths ...string) []string {
	t.Helper()
	var all []string
	for l, err := range Letters(paths, strings.NewReader(stdin)) {
		if err != nil {
			all = append(all, fmt.Sprintf("%s: error: %v", l.Name, err))
			continue
		}
		all = append(all, l.Name+": "+string(l.Text))
	}
	return all
}

// Messages of an mbox are found where they begin, whoever wrote it.
func TestMessagesOfAnMbox(t *testing.T) {
	const line = "From a@example.org Thu Nov 26 10:00:00 2026"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"two":                     {line + "\nA: 1\n\none\n\n" + line + "\nA: 2\n\ntwo\n\n", []string{"A: 1\n\none\n", "A: 2\n\ntwo\n"}},
		"CRLF":                    {line + "\r\nA: 1\r\n\r\none\r\n\r\n" + line + "\r\nA: 2\r\n\r\ntwo\r\n", []string{"A: 1\r\n\r\none\r\n", "A: 2\r\n\r\ntwo\r\n"}},
		"no end of the last line": {line + "\nA: 1\n\none", []string{"A: 1\n\none"}},
		"quoted":                  {line + "\nA: 1\n\n>From you\n>>From me\n> From\n>Front\n", []string{"A: 1\n\nFrom you\n>From me\n> From\n>Front\n"}},
		"not after an empty line": {line + "\nA: 1\n\none\n" + line + "\ntwo\n", []string{"A: 1\n\none\n" + line + "\ntwo\n"}},
		"a From that is text":     {line + "\nA: 1\n\none\n\nFrom here on it is text\n", []string{"A: 1\n\none\n\nFrom here on it is text\n"}},
		"lines without a time":    {"From a\nA: 1\n\none\n\nFrom b\nA: 2\n", []string{"A: 1\n\none\n", "A: 2\n"}},
		"no body":                 {line + "\nA: 1\n\n" + line + "\nA: 2\n\n", []string{"A: 1\n", "A: 2\n"}},
		"no message":              {line + "\n", []string{""}},
		"Thunderbird":             {"From - Thu Nov 26 10:00:00 2026\nA: 1\n\n", []string{"A: 1\n"}},
		"NUL, CR, 8 bit":          {line + "\nA: 1\n\n\x00 \r \xff\n\n", []string{"A: 1\n\n\x00 \r \xff\n"}},
		"a line without an end":   {line + "\nA: 1\n\n" + strings.Repeat("x", 200<<10) + "From \n", []string{"A: 1\n\n" + strings.Repeat("x", 200<<10) + "From \n"}},
	} {
		var want []string
		for i, text := range c.want {
			want = append(want, fmt.Sprintf("-:%d: %s", i+1, text))
		}
		if diff := cmp.Diff(want, read(t, c.text, "-")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Messages come in the order of their files: as named, in a folder by name, in a
// maildir by time whether they were read or not. What cannot be read keeps no other
// from being read.
func TestFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := write("one.eml", "A: 1\r\n\r\none\r\n")
	write("folder/b.eml", "B: 2\n\n")
	write("folder/a.eml", "B: 1\n\n")
	write("folder/.hidden", "x")
	write("folder/c.mbox", "From x\nC: 1\n\n\nFrom y\nC: 2\n\n")
	write("maildir/cur/1700000003.a:2,S", "M: 3\n")
	write("maildir/cur/1700000001.a:2,S", "M: 1\n")
	write("maildir/new/1700000002.a", "M: 2\n")
	write("maildir/tmp/1700000000.a", "M: 0\n")
	empty := write("empty", "")
	none := filepath.Join(dir, "none")
	os.Mkdir(filepath.Join(dir, "void"), 0o755)
	got := read(t, "S: 1\n\n", one, none, empty, filepath.Join(dir, "folder"), "-", filepath.Join(dir, "maildir"), filepath.Join(dir, "void"))
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], dir+"/")
	}
	want := []string{
		"one.eml: A: 1\r\n\r\none\r\n",
		"none: error: no such file or directory",
		"empty: error: there is no message in it",
		"folder/a.eml: B: 1\n\n", "folder/b.eml: B: 2\n\n", "folder/c.mbox:1: C: 1\n\n", "folder/c.mbox:2: C: 2\n",
		"-: S: 1\n\n",
		"maildir/cur/1700000001.a:2,S: M: 1\n", "maildir/new/1700000002.a: M: 2\n", "maildir/cur/1700000003.a:2,S: M: 3\n",
		"void: error: there is no message in this folder",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if total := Total([]string{one, filepath.Join(dir, "maildir")}); total != int64(len("A: 1\r\n\r\none\r\n")+3*len("M: 1\n")) {
		t.Errorf("there are %d bytes", total)
	}
	if Total([]string{one, "-"}) != 0 {
		t.Error("the length of standard input is known")
	}
}

// A caller may stop anywhere.
func TestReadingCanStop(t *testing.T) {
	for n := range 3 {
		count := 0
		for range Letters([]string{"-", "/nowhere", "/nowhere"}, strings.NewReader("From a\nA: 1\n\nFrom b\nB: 2\n")) {
			if count++; count > n {
				break
			}
		}
		if count != n+1 {
			t.Errorf("%d letters, want %d", count, n+1)
		}
	}
}

// Whatever an mbox holds: no byte of it is lost but what belongs to the mbox, and what
// is written by the rules of mboxrd is read as it was.
func FuzzMbox(f *testing.F) {
	f.Add([]byte("A: 1\n\n>From x\n"), []byte("From \n\nFrom b 1:00 2020\n"))
	f.Add([]byte("\r\n\r\n"), []byte("\x00>From "))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		collect := func(mbox []byte) (texts []string) {
			for l, err := range Letters([]string{"-"}, bytes.NewReader(mbox)) {
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, string(l.Text))
			}
			return texts
		}
		if bytes.HasPrefix(a, []byte(fromLine)) {
			size := 0
			for _, text := range collect(a) {
				size += len(text)
			}
			if size > len(a) {
				t.Errorf("%d bytes have become %d", len(a), size)
			}
		}
		var mbox []byte
		var want []string
		for _, text := range [][]byte{a, b} {
			text = append(bytes.TrimRight(text, "\r\n"), '\n')
			mbox = append(mbox, "From a@example.org Thu Nov 26 10:00:00 2026\n"...)
			for line := range bytes.Lines(text) {
				if len(line) > 60<<10 {
					return // of a long line only the beginning could be quoted
				}
				if quoted.Match(line) || bytes.HasPrefix(line, []byte(fromLine)) {
					mbox = append(mbox, '>')
				}
				mbox = append(mbox, line...)
			}
			mbox = append(mbox, '\n')
			want = append(want, string(text))
		}
		if got := collect(mbox); !slices.Equal(got, want) {
			t.Errorf("%q was read as %q, want %q", mbox, got, want)
		}
	})
}
