package detect

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Systems are trees in one file each, and what is to be found on them.
func TestSystems(t *testing.T) {
	t.Parallel()
	trees, err := filepath.Glob("testdata/*.tree")
	if err != nil || len(trees) == 0 {
		t.Fatal(trees, err)
	}
	for _, file := range trees {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tree"), func(t *testing.T) {
			t.Parallel()
			got := describe(t, find(t, unpackFile(t, file)))
			golden := strings.TrimSuffix(file, ".tree") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func find(t *testing.T, root string) *Result {
	t.Helper()
	r, err := Find(root)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// describe is all that a result says.
func describe(t *testing.T, r *Result) string {
	t.Helper()
	var b strings.Builder
	for _, m := range r.Milters {
		fmt.Fprintf(&b, "%s: %s\n  service %s\n  socket  %s  %s\n  enabled %v: %s\n", m.Name, m.Kind, m.Service, m.Socket, m.At, m.Enabled, m.Why)
	}
	b.WriteString("\n")
	for _, n := range r.Skipped {
		fmt.Fprintln(&b, n)
	}
	b.WriteString("\n")
	b.Write(r.TOML())
	return b.String()
}

var treeHeader = regexp.MustCompile(`(?m)^-- (/\S+)(?: (\+x)| -> (\S+))? --\n`)

func unpackFile(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return unpack(t, string(text))
}

// unpack makes a tree of a text, in which each file has a header: -- PATH --, with
// +x for a program, or -- PATH -> TARGET -- for a link.
func unpack(t testing.TB, text string) string {
	t.Helper()
	root := t.TempDir()
	heads := treeHeader.FindAllStringSubmatchIndex(text, -1)
	part := func(h []int, n int) string {
		if h[2*n] < 0 {
			return ""
		}
		return text[h[2*n]:h[2*n+1]]
	}
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		at := filepath.Join(root, part(h, 1))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if to := part(h, 3); to != "" && err == nil {
			err = os.Symlink(to, at)
		} else if err == nil {
			mode := os.FileMode(0o644)
			if part(h, 2) != "" {
				mode = 0o755
			}
			err = os.WriteFile(at, []byte(text[h[1]:end]), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}
