package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
)

// repository is where links lead that are to files and not to pages.
const repository = "https://github.com/milterkit/sdk/blob/main/"

var (
	//go:embed page.html
	pageHTML string
	//go:embed style.css
	styleCSS []byte

	pageTemplate = template.Must(template.New("page").Parse(pageHTML))

	markdown = goldmark.New(
		goldmark.WithExtensions(extension.Table),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(html.WithUnsafe()), // the pages are ours: comments may stand in them
	)
)

// A heading is one of the second level, for the list of what is on a page.
type heading struct {
	ID    string
	Title string
}

// view is what the template is given.
type view struct {
	*page
	Up       string // the way to the root of the site
	Sections []section
	Headings []heading
	Body     template.HTML
	Source   string
	Previous *page
	Next     *page
}

// write makes the site in the folder out, which may have an older one in it.
func (s *site) write(out string) error {
	for i, p := range s.pages {
		v := view{page: p, Up: strings.Repeat("../", strings.Count(p.File, "/")), Sections: s.sections, Source: repository + p.source}
		if i > 0 && p.source != contents {
			v.Previous = s.pages[i-1]
		}
		if i+1 < len(s.pages) && s.pages[i+1].source != contents {
			v.Next = s.pages[i+1]
		}
		var err error
		if v.Body, v.Headings, err = s.render(p); err != nil {
			return fmt.Errorf("%s: %w", p.source, err)
		}
		var b bytes.Buffer
		if err := pageTemplate.Execute(&b, v); err != nil {
			return err
		}
		file := filepath.Join(out, filepath.FromSlash(p.File))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, "style.css"), styleCSS, 0o644)
}

// render makes HTML of a page's Markdown.
func (s *site) render(p *page) (template.HTML, []heading, error) {
	ids := parser.WithContext(parser.NewContext(parser.WithIDs(anchors{})))
	doc := markdown.Parser().Parse(text.NewReader(p.text), ids)
	var headings []heading
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			n.Destination = []byte(s.link(p, string(n.Destination)))
		case *ast.Heading:
			if id, ok := n.AttributeString("id"); ok && n.Level == 2 {
				headings = append(headings, heading{string(id.([]byte)), plain(n, p.text)})
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return "", nil, err
	}
	var b bytes.Buffer
	err = markdown.Renderer().Render(&b, p.text, doc)
	return template.HTML(forReaders(b.String())), headings, err
}

// link is where a link of a page leads in the site: to a page, or to a file of the
// repository.
func (s *site) link(from *page, to string) string {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") || strings.HasPrefix(to, "#") {
		return to
	}
	file, name, _ := strings.Cut(to, "#")
	if name != "" {
		name = "#" + name
	}
	source := path.Join(path.Dir(from.source), file)
	for _, p := range s.pages {
		if p.source == source {
			return strings.Repeat("../", strings.Count(from.File, "/")) + p.File + name
		}
	}
	return repository + source + name
}

// plain is the text of a heading without its markup.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(t.Segment.Value(source))
		} else {
			b.WriteString(plain(c, source))
		}
	}
	return b.String()
}

var (
	wide  = regexp.MustCompile(`(?s)<table>.*?</table>`)
	code  = regexp.MustCompile(`<pre>`)
	title = regexp.MustCompile(`<(h[2-6]) id="([^"]*)">(.*?)</h[2-6]>`)
)

// forReaders has what is wide scroll by itself, also by the keyboard, and gives each
// heading a link to itself.
func forReaders(html string) string {
	html = wide.ReplaceAllString(html, `<div class="wide" tabindex="0" role="group" aria-label="table">$0</div>`)
	html = code.ReplaceAllString(html, `<pre tabindex="0">`)
	return title.ReplaceAllString(html, `<$1 id="$2">$3 <a class="anchor" href="#$2" aria-label="link to this part">#</a></$1>`)
}

// anchors names headings as links between the Markdown files name them.
type anchors map[string]bool

// Generate implements parser.IDs.
func (a anchors) Generate(value []byte, _ ast.NodeKind) []byte {
	value = linkInHeading.ReplaceAll(value, []byte("$1"))
	name := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, string(value))
	for i, again := 1, name; a[name]; i++ {
		name = fmt.Sprintf("%s-%d", again, i)
	}
	a[name] = true
	return []byte(name)
}

// Put implements parser.IDs.
func (a anchors) Put(value []byte) { a[string(value)] = true }

var linkInHeading = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
