package daemon

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// A page is a Markdown file of the project.
type page struct {
	path     string // from the root of the project
	text     string // with its blocks of code blanked
	blocks   []block
	headings map[string]bool // as links have them
}

// A block is one of code. What stands behind ``` says what it is: toml is a
// configuration of milterkit; a TOML file of another kind has a second word.
type block struct {
	line int
	info string // "" also where it is only indented
	text string
}

var (
	fence   = regexp.MustCompile("^( *)```(.*)$")
	heading = regexp.MustCompile("(?m)^#{1,6} +(.*)$")
)

// pages are all Markdown files but those of test data.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch hidden := strings.HasPrefix(d.Name(), ".") && path != "." && d.Name() != ".github"; {
		case err != nil:
			return err
		case d.IsDir() && (hidden || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := fs.ReadFile(root, path)
		all = append(all, readPage(path, string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("there are %d pages", len(all))
	}
	return all
}

func readPage(path, text string) page {
	p := page{path: path, headings: map[string]bool{}}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		b := block{line: i + 1}
		if m := fence.FindStringSubmatch(lines[i]); m != nil {
			b.info = m[2]
			for lines[i] = ""; i+1 < len(lines) && fence.FindString(lines[i+1]) == ""; i++ {
				b.text += strings.TrimPrefix(lines[i+1], m[1]) + "\n"
				lines[i+1] = ""
			}
			lines[min(i+1, len(lines)-1)] = ""
			i++
		} else if strings.HasPrefix(lines[i], "    ") && (i == 0 || lines[i-1] == "") {
			for ; i < len(lines) && strings.HasPrefix(lines[i], "    "); i++ {
				b.text += strings.TrimPrefix(lines[i], "    ") + "\n"
				lines[i] = ""
			}
			i--
		} else {
			continue
		}
		p.blocks = append(p.blocks, b)
	}
	p.text = strings.Join(lines, "\n")
	for _, m := range heading.FindAllStringSubmatch(p.text, -1) {
		name := anchor(m[1])
		for i, again := 1, name; p.headings[name]; i++ {
			name = fmt.Sprintf("%s-%d", again, i)
		}
		p.headings[name] = true
	}
	return p
}

// anchor is what links call a heading.
func anchor(heading string) string {
	heading = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// A link between pages leads to a file that is there, and to a heading that it has.
func TestLinksOfPagesResolve(t *testing.T) {
	all := pages(t)
	byPath := map[string]page{}
	for _, p := range all {
		byPath[p.path] = p
	}
	link := regexp.MustCompile(`\]\(([^) ]+)\)`)
	code := regexp.MustCompile("`[^`\n]*`")
	for _, p := range all {
		text := code.ReplaceAllStringFunc(p.text, func(s string) string { // a link may have code in it, code no link
			return strings.NewReplacer("](", "  ").Replace(s)
		})
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, name, hasName := strings.Cut(m[1], "#")
			to := p.path
			if file != "" {
				to = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join("..", to)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.path, m[1])
			} else if target, isPage := byPath[to]; hasName && isPage && !target.headings[name] {
				t.Errorf("%s: the link %s leads to no heading", p.path, m[1])
			}
		}
	}
}
