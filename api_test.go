package house

import (
	"bytes"
	"flag"
	"go/ast"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateAPI = flag.Bool("update-api", false, "write what the packages export into api/")

// promised are the packages whose exported names are kept: docs/compatibility.md.
var promised = []string{
	"milterkit", "milterkit/gomilter", "milterkit/mime", "milterkit/miltertest", "milterkit/remote", "daemon",
	"builtin/authres", "builtin/clamd", "builtin/conditions", "builtin/dkim", "builtin/dmarc", "builtin/dns", "builtin/greylist",
	"builtin/headers", "builtin/rspamd", "builtin/s25r", "builtin/spamd", "builtin/spf",
}

// What a package exports stands in api/, so that a change of it is seen in review,
// and one that breaks what others have built is not made by accident.
func TestExportedNamesAreAsPromised(t *testing.T) {
	for _, pkg := range promised {
		file := filepath.Join("api", strings.ReplaceAll(pkg, "/", "-")+".txt")
		got := exported(t, pkg)
		if *updateAPI {
			if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(was), "\n"), strings.Split(got, "\n")); diff != "" {
			kind := "something was added: run 'go test . -run Exported -update-api' and tell of it in CHANGELOG.md"
			if lost := missing(string(was), got); len(lost) > 0 {
				kind = "what others have built may break by it (docs/compatibility.md says what is promised), gone is\n\t" + strings.Join(lost, "\n\t")
			}
			t.Errorf("%s is not what %s says: %s\n%s", pkg, file, kind, diff)
		}
	}
}

// missing returns the lines of was that are not in now.
func missing(was, now string) (lost []string) {
	there := strings.Split(now, "\n")
	for line := range strings.SplitSeq(was, "\n") {
		if !slices.Contains(there, line) {
			lost = append(lost, line)
		}
	}
	return lost
}

// exported returns the declarations of a package's exported names, without
// comments and bodies, in order.
func exported(t *testing.T, pkg string) string {
	var decls []string
	for _, s := range sources(t) {
		if s.pkg != pkg || s.test || !ast.FileExports(s.file) {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
					continue
				}
				d.Body, d.Doc = nil, nil
			case *ast.GenDecl:
				d.Doc = nil
				ast.Inspect(d, withoutComments)
			}
			var b bytes.Buffer
			if err := format.Node(&b, s.fset, d); err != nil {
				t.Fatal(err)
			}
			if text := tidy(b.String()); !strings.HasPrefix(text, "import") {
				decls = append(decls, text)
			}
		}
	}
	slices.Sort(decls)
	return strings.Join(decls, "\n") + "\n"
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// withoutComments takes the comments off a declaration.
func withoutComments(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.Field:
		n.Doc, n.Comment = nil, nil
	case *ast.ValueSpec:
		n.Doc, n.Comment = nil, nil
	case *ast.TypeSpec:
		n.Doc, n.Comment = nil, nil
	}
	return true
}

// tidy takes out empty lines, and what only aligns columns.
func tidy(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 {
			indent := line[:len(line)-len(strings.TrimLeft(line, "\t"))]
			lines = append(lines, indent+strings.Join(fields, " "))
		}
	}
	return strings.Join(lines, "\n")
}
