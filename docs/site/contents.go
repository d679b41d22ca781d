package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// contents is the page that lists all others.
const contents = "docs/README.md"

// A site is the pages in the order of the navigation.
type site struct {
	sections []section
	pages    []*page
}

// A section is a group of pages in the navigation.
type section struct {
	Title string
	Pages []*page
}

// A page is a Markdown file of the project, and what it becomes.
type page struct {
	source string // from the root of the project
	File   string // from the root of the site
	Title  string // as the navigation has it
	text   []byte
}

var (
	sectionLine = regexp.MustCompile(`^## (.*)$`)
	pageLine    = regexp.MustCompile(`^- \[(.*?)\]\(([^)#]+\.md)\)`)
)

// read reads the contents, and the pages that they list.
func read(root string) (*site, error) {
	text, err := os.ReadFile(filepath.Join(root, contents))
	if err != nil {
		return nil, err
	}
	s := &site{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			s.sections = append(s.sections, section{Title: m[1]})
		}
		m := pageLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		p, err := readPage(root, path.Join(path.Dir(contents), m[2]), strings.ReplaceAll(m[1], "`", ""))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", contents, err)
		}
		if len(s.sections) == 0 {
			return nil, fmt.Errorf("%s: %s stands before the first heading", contents, m[2])
		}
		in := &s.sections[len(s.sections)-1]
		in.Pages = append(in.Pages, p)
		s.pages = append(s.pages, p)
	}
	p, err := readPage(root, contents, "All pages")
	s.pages = append(s.pages, p)
	return s, err
}

func readPage(root, source, title string) (*page, error) {
	text, err := os.ReadFile(filepath.Join(root, source))
	return &page{source: source, File: fileOf(source), Title: title, text: text}, err
}

// fileOf is where a page stands in the site.
func fileOf(source string) string {
	switch source {
	case "README.md":
		return "index.html"
	case contents:
		return "contents.html"
	}
	name := strings.TrimPrefix(strings.TrimSuffix(source, ".md"), "docs/")
	if path.Base(name) == "README" {
		name = path.Join(path.Dir(name), "index")
	}
	return strings.ToLower(name) + ".html"
}

// missing are the pages of docs that the contents do not list.
func (s *site) missing(root string) (sources []string, err error) {
	err = fs.WalkDir(os.DirFS(root), "docs", func(source string, _ fs.DirEntry, err error) error {
		if path.Ext(source) == ".md" && !slices.ContainsFunc(s.pages, func(p *page) bool { return p.source == source }) {
			sources = append(sources, source)
		}
		return err
	})
	return sources, err
}
