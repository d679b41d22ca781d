package house

import (
	"go/ast"
	"slices"
	"testing"
)

// copiers are the functions on a message's way that copy bytes, and which: none of
// them are of a body. What copies those is internal/bodycopy, which counts them.
var copiers = map[string]string{
	"milterkit/conn.go: keep":                "a name or a value of the header, for want of memory",
	"milterkit/command.go: connect":          "the client's name and address",
	"milterkit/command.go: helo":             "the client's greeting",
	"milterkit/command.go: unknown":          "a line of the client's",
	"milterkit/command.go: address":          "an address of the envelope",
	"milterkit/command.go: sameMacros":       "nothing: texts are compared",
	"milterkit/answer.go: appendVerdict":     "a reply",
	"milterkit/answer.go: appendEdit":        "an edit of the envelope or the header",
	"milterkit/answer.go: headerEdit":        "an edit of the header",
	"milterkit/answer.go: writeOutcome":      "the list of the pieces of a new body",
	"milterkit/edits.go: ReplaceBody":        "the list of the pieces of a new body",
	"milterkit/event.go: begin":              "the events of a session",
	"milterkit/message.go: Get":              "a value of the header",
	"milterkit/message.go: Values":           "the values of a field",
	"milterkit/message.go: Body":             "the list of the pieces of the body",
	"milterkit/conn.go: guarded":             "the stack of a bug",
	"milterkit/report.go: warn":              "the stack of a panic",
	"milterkit/report.go: to":                "the stack of a panic",
	"milterkit/report.go: String":            "a line of the log",
	"milterkit/edits.go: lastOf":             "nothing: names are compared",
	"milterkit/message.go: headerText":       "the header",
	"milterkit/outcome.go: Recipients":       "the list of the recipients",
	"milterkit/outcome.go: WriteMessage":     "the list of the pieces of a new body",
	"milterkit/whole.go: Message":            "nothing: texts are compared",
	"milterkit/whole.go: cutField":           "a folded value of the header",
	"milterkit/report.go: MarshalText":       "a line of the log",
	"milterkit/reply.go: formatReply":        "a reply",
	"milterkit/remote/conn.go: tell":         "frames without a body",
	"milterkit/remote/desk.go: spread":       "frames without a body",
	"milterkit/remote/desk.go: rise":         "frames without a body",
	"milterkit/remote/edit.go: edit":         "the reason of a quarantine",
	"milterkit/remote/edit.go: headerEdit":   "an edit of the header",
	"milterkit/remote/edit.go: rcptEdit":     "an edit of the envelope",
	"milterkit/remote/hooks.go: tellConnect": "the client's name and address",
	"milterkit/remote/hooks.go: tellHelo":    "the client's greeting",
	"milterkit/remote/hooks.go: unknown":     "a line of the client's",
	"milterkit/remote/negotiate.go: agree":   "the answer to an offer",
	"milterkit/remote/reply.go: verdict":     "a reply",
	"milterkit/remote/reply.go: unescape":    "a reply",
}

// Bytes of a body are copied in one place, where they are counted: whatever else on
// a message's way copies bytes is known, with what it copies.
func TestBodiesAreCopiedInOnePlace(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if s.test || !slices.Contains([]string{"milterkit", "milterkit/remote"}, s.pkg) {
			continue
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := s.path + ": " + f.Name.Name
			ast.Inspect(f, func(n ast.Node) bool {
				if what := copies(n); what != "" {
					if used[name] = true; copiers[name] == "" {
						t.Errorf("%s: %s copies by %s: a body goes through internal/bodycopy; anything else belongs into copiers",
							s.fset.Position(n.Pos()), f.Name.Name, what)
					}
				}
				return true
			})
		}
	}
	for name := range copiers {
		if !used[name] {
			t.Errorf("copiers names %s, which copies nothing", name)
		}
	}
}

// copies names the way in which a piece of code may copy bytes; "": it does not.
// Lists of fixed text, and those of anything but bytes, are told by their elements.
func copies(n ast.Node) string {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains([]string{
			"bytes.Buffer", "bytes.Clone", "bytes.Join", "bytes.Repeat", "bytes.ReplaceAll", "bytes.NewBuffer", "slices.Clone",
			"strings.Builder", "io.Copy", "io.CopyBuffer", "io.CopyN", "io.ReadAll", "io.ReadFull", "io.TeeReader"}, pkg.Name+"."+n.Sel.Name) {
			return pkg.Name + "." + n.Sel.Name
		}
	case *ast.CallExpr:
		switch f := n.Fun.(type) {
		case *ast.Ident:
			spread := f.Name == "append" && n.Ellipsis.IsValid() && !isText(n.Args[1])
			if f.Name == "copy" || f.Name == "string" || spread {
				return f.Name
			}
		case *ast.ArrayType:
			if of, ok := f.Elt.(*ast.Ident); ok && of.Name == "byte" {
				return "[]byte()"
			}
		case *ast.SelectorExpr:
			pkg, ok := f.X.(*ast.Ident)
			frame := ok && pkg.Name == "wire" && (f.Sel.Name == "AppendFrame" || f.Sel.Name == "AppendReplaceBody")
			if frame && !isNil(n.Args[len(n.Args)-1]) {
				return "wire." + f.Sel.Name
			}
		}
	}
	return ""
}

// isText reports whether e stands in the program as it is.
func isText(e ast.Expr) bool {
	_, ok := e.(*ast.BasicLit)
	return ok
}

func isNil(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
}
