// Package house holds no code: it is the test that the house stays as it is
// meant to be. See CONTRIBUTING.md.
package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/milterkit/sdk/"

// Bounds that keep a part small enough to hold in the head.
const (
	maxFunction = 80  // lines
	maxFile     = 500 // lines
)

// allowed says which packages of the house a package may import: imports run
// one way only. The longest entry that fits a package counts.
var allowed = map[string][]string{
	"internal":             {},
	"milterkit/wire":       {},
	"milterkit":            {"milterkit/wire", "internal"},
	"milterkit/remote":     {"milterkit", "milterkit/wire", "internal"},
	"milterkit/gomilter":   {"milterkit", "milterkit/remote", "internal"},
	"milterkit/mime":       {"milterkit"},
	"milterkit/miltertest": {"milterkit", "milterkit/wire", "internal"},
	"builtin":              {"milterkit", "milterkit/mime", "builtin"},
	"daemon":               {"internal", "milterkit", "milterkit/wire", "milterkit/remote", "milterkit/miltertest", "builtin", "bench"},
	"cmd":                  {"daemon", "builtin"},
	"examples":             {"milterkit", "milterkit/remote", "milterkit/gomilter", "milterkit/mime", "milterkit/miltertest", "builtin"},
	"bench":                {"internal", "milterkit", "milterkit/wire", "milterkit/remote", "milterkit/miltertest", "builtin"},
	"bench/peers":          {"bench", "test", "builtin", "milterkit", "milterkit/wire", "milterkit/gomilter"},
	"test":                 {},
}

// A source is a Go file of the house.
type source struct {
	path, pkg string // pkg is the folder, "." for the root
	test      bool
	file      *ast.File
	fset      *token.FileSet
	lines     int
}

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return cmpOr(err, fs.SkipDir)
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		list = append(list, source{filepath.ToSlash(path), filepath.ToSlash(filepath.Dir(path)),
			strings.HasSuffix(path, "_test.go"), file, fset, bytes.Count(text, []byte("\n"))})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func cmpOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// entry returns the longest key of allowed that pkg is, or lies below.
func entry(pkg string) string {
	best := ""
	for key := range allowed {
		if (pkg == key || strings.HasPrefix(pkg, key+"/")) && len(key) > len(best) {
			best = key
		}
	}
	return best
}

// Imports run one way only.
func TestImportsRunOneWay(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		from := entry(s.pkg)
		for _, imp := range s.file.Imports {
			to, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module)
			if !ours || from == entry(to) && from != "builtin" {
				continue
			}
			if !slices.Contains(allowed[from], entry(to)) {
				t.Errorf("%s imports %s: %s may import %v only", s.path, to, from, allowed[from])
			}
		}
	}
}

// The protocol's codec is a leaf: it imports the standard library and
// go-milter's constants.
func TestWireIsALeaf(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg != "milterkit/wire" || s.test {
			continue
		}
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if strings.Contains(path, ".") && path != "github.com/emersion/go-milter" {
				t.Errorf("%s imports %s", s.path, path)
			}
		}
	}
}

// Every package says once what it is.
func TestEveryPackageHasADoc(t *testing.T) {
	docs := map[string]int{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		docs[s.pkg] += 0
		if s.file.Doc != nil {
			docs[s.pkg]++
		}
	}
	for pkg, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", pkg, n)
		}
	}
}

// Every exported name of the library is documented.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.pkg, "milterkit") {
			continue
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s is not documented", s.fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
						t.Errorf("%s: %s is not documented", s.fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	}
}

// exportedReceiver reports whether d is a function, or a method of a type that
// others can name.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// Files and functions are short.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if s.lines > maxFile {
			t.Errorf("%s has %d lines, want %d at most", s.path, s.lines, maxFile)
		}
		for _, decl := range s.file.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				if n := s.fset.Position(d.End()).Line - s.fset.Position(d.Pos()).Line; n > maxFunction {
					t.Errorf("%s: %s has %d lines, want %d at most", s.fset.Position(d.Pos()), d.Name.Name, n, maxFunction)
				}
			}
		}
	}
}

// The map in the library's package comment names every file, and no other.
func TestReadingOrderNamesEveryFile(t *testing.T) {
	doc, err := os.ReadFile("milterkit/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var named, there []string
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z_]+\.go)\s`).FindAllSubmatch(doc, -1) {
		named = append(named, string(m[1]))
	}
	for _, s := range sources(t) {
		if s.pkg == "milterkit" && !s.test && !strings.HasSuffix(s.path, "/doc.go") {
			there = append(there, filepath.Base(s.path))
		}
	}
	slices.Sort(named)
	slices.Sort(there)
	if !slices.Equal(named, there) {
		t.Errorf("doc.go names %v\nthere are      %v", named, there)
	}
}

// The Go programs in the README and in docs build. (That of docs/embedding.md, which
// needs go-smtp, is built by the tests of examples.)
func TestProgramsInPagesBuild(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	children, err := filepath.Glob("docs/children/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = slices.DeleteFunc(append(append(pages, children...), "README.md"), func(p string) bool { return filepath.Base(p) == "embedding.md" })
	count := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range regexp.MustCompile("(?s)```go\n(package main.*?)```").FindAllSubmatch(text, -1) {
			// Below this folder, so that this module is the one that is built against.
			dir, err := os.MkdirTemp(".", ".page")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := os.WriteFile(filepath.Join(dir, "main.go"), p[1], 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("go", "vet", "./"+dir).CombinedOutput(); err != nil {
				t.Errorf("%s: program %d: %v\n%s", page, i+1, err, out)
			}
			count++
		}
	}
	if count < 2 {
		t.Errorf("README.md and docs have %d Go programs", count)
	}
}

// Every page of docs is in the list of them, which is the navigation of the web site.
func TestEveryPageIsListed(t *testing.T) {
	list, err := os.ReadFile("docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("docs", func(path string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel("docs", path)
		if filepath.Ext(path) == ".md" && path != "docs/README.md" && !strings.Contains(string(list), "]("+filepath.ToSlash(name)+")") {
			t.Errorf("docs/README.md does not list %s: put it where the navigation is to have it", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
