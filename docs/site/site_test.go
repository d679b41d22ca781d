package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// made is the site as it is now, by the names of its files.
func made(t *testing.T) (*site, map[string]string) {
	t.Helper()
	s, err := read("../..")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := s.write(out); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(out, path)
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, files
}

// Every page of docs is in the site, once, under the name that its title has in the
// contents.
func TestEveryPageIsThere(t *testing.T) {
	s, files := made(t)
	missing, err := s.missing("../..")
	if err != nil || len(missing) > 0 {
		t.Errorf("%s does not list %v (%v)", contents, missing, err)
	}
	seen := map[string]bool{}
	for _, p := range s.pages {
		if seen[p.File] {
			t.Errorf("%s is listed twice", p.source)
		}
		seen[p.File] = true
		if !strings.Contains(files[p.File], "<title>") || strings.Count(files[p.File], "<h1") != 1 {
			t.Errorf("%s is no page with one title", p.File)
		}
	}
	if files["index.html"] == "" || len(s.sections) < 5 {
		t.Errorf("%d files, %d sections", len(files), len(s.sections))
	}
}

var (
	href = regexp.MustCompile(`href="([^"]*)"`)
	id   = regexp.MustCompile(`\bid="([^"]*)"`)
)

// A link within the site leads to a page that is there, and to a place on it that is
// there; no place has the name of another.
func TestEveryLinkResolves(t *testing.T) {
	_, files := made(t)
	ids := map[string]map[string]bool{}
	for name, text := range files {
		ids[name] = map[string]bool{}
		for _, m := range id.FindAllStringSubmatch(text, -1) {
			if ids[name][m[1]] {
				t.Errorf("%s has two places called %s", name, m[1])
			}
			ids[name][m[1]] = true
		}
	}
	for name, text := range files {
		for _, m := range href.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], ":") {
				continue
			}
			file, place, _ := strings.Cut(m[1], "#")
			to := name
			if file != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(name), file))
			}
			if _, ok := files[to]; !ok || place != "" && !ids[to][place] {
				t.Errorf("%s: %s leads nowhere", name, m[1])
			}
		}
	}
}

// What a link of the repository leads to is a file that is there.
func TestLinksToTheSourceResolve(t *testing.T) {
	_, files := made(t)
	for name, text := range files {
		for _, m := range href.FindAllStringSubmatch(text, -1) {
			if file, ours := strings.CutPrefix(m[1], repository); ours {
				file, _, _ = strings.Cut(file, "#")
				if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// A page loads its style sheet and nothing else, and runs nothing.
func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	_, files := made(t)
	loaded := regexp.MustCompile(`(?i)<(script|img|iframe|object|embed|audio|video|source|form)\b|\bsrc=|\bon[a-z]+="|@import|url\(`)
	link := regexp.MustCompile(`<link [^>]*href="([^"]*)"`)
	for name, text := range files {
		if m := loaded.FindString(regexp.MustCompile(`(?s)<pre.*?</pre>|<code>.*?</code>`).ReplaceAllString(text, "")); m != "" {
			t.Errorf("%s has %s", name, m)
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if m[1] != "data:," && filepath.Base(m[1]) != "style.css" || strings.Contains(m[1], "//") {
				t.Errorf("%s loads %s", name, m[1])
			}
		}
	}
}

// One walks through all pages by "next", and back by "previous".
func TestNextLeadsThroughAllPages(t *testing.T) {
	s, files := made(t)
	turn := func(name, rel string) string {
		m := regexp.MustCompile(`rel="` + rel + `" href="([^"]*)"`).FindStringSubmatch(files[name])
		if m == nil {
			return ""
		}
		return filepath.ToSlash(filepath.Join(filepath.Dir(name), m[1]))
	}
	count := 0
	for name := "index.html"; name != ""; count++ {
		next := turn(name, "next")
		if next != "" && turn(next, "prev") != name {
			t.Fatalf("back from %s is %q, not %s", next, turn(next, "prev"), name)
		}
		name = next
	}
	if count != len(s.pages)-1 { // the contents are on each page
		t.Errorf("%d of %d pages", count, len(s.pages))
	}
}
