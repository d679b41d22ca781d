package daemon

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// Each native child has a page that says what it is called, what can be set, what
// it does to a message, and what happens when it fails.
func TestEveryChildHasAPage(t *testing.T) {
	for name := range builtinNatives(t) {
		text := childPage(t, name)
		for _, section := range []string{"Name", "Settings", "What it does to a message", "Failure", "Example"} {
			if !strings.Contains(text, "\n## "+section+"\n") {
				t.Errorf("docs/children/%s.md has no section %q", name, section)
			}
		}
		if index := childPage(t, "README"); !strings.Contains(index, "("+name+".md)") {
			t.Errorf("docs/children/README.md does not name %s", name)
		}
	}
}

// A page has each option in a row of its table, with the default that holds.
func TestPagesHaveTheOptions(t *testing.T) {
	all := builtinNatives(t)
	for name, n := range all {
		text := childPage(t, name)
		for _, set := range n.schema.Read(nil, nil, nil).Settings() {
			row := regexp.MustCompile(`(?m)^\|[^|]*` + "`" + regexp.QuoteMeta(set.Option) + "`.*$").FindString(text)
			if row == "" {
				t.Errorf("docs/children/%s.md has no row for the option %s", name, set.Option)
				continue
			}
			switch value := set.Value.(type) {
			case string, bool, int64, uint64, float64:
				if literal := tomlfile.Literal(value); literal != `""` && !strings.Contains(row, "`"+literal+"`") {
					t.Errorf("docs/children/%s.md: the default of %s is %s: %s", name, set.Option, literal, row)
				}
			}
		}
	}
}

func builtinNatives(t *testing.T) natives {
	t.Helper()
	all, err := newNatives(builtins())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func childPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/children/" + name + ".md")
	if err != nil {
		t.Error(err)
	}
	return string(text)
}
