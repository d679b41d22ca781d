package config

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var updateReference = flag.Bool("update-reference", false, "write the keys of the configuration file to docs/configuration.md")

const (
	referencePage  = "../../../docs/configuration.md"
	referenceStart = "<!-- from daemon/internal/config/referencedocs.go: go test ./daemon/internal/config -run Reference -update-reference -->\n"
	referenceEnd   = "<!-- end of what is written from there -->\n"
)

// The reference has every key that the loader knows, and no other, with a meaning
// and a default.
func TestReferenceHasEveryKey(t *testing.T) {
	l := &loader{config: &Config{}}
	for _, s := range Docs() {
		var listed []string
		for _, d := range s.Keys {
			listed = append(listed, d.Key)
			if d.Meaning == "" || strings.ContainsAny(d.Meaning, "\n") || strings.Contains(strings.ReplaceAll(d.Meaning, `\|`, ""), "|") {
				t.Errorf("referencedocs.go: the meaning of %s is not one line of a table: %q", d.Key, d.Meaning)
			}
			if d.Default == "" {
				t.Errorf("referencedocs.go: %s has no default; where no value is one, say in words what holds", d.Key)
			}
		}
		known := l.names(s.Name)
		slices.Sort(known)
		slices.Sort(listed)
		if !slices.Equal(known, listed) {
			t.Errorf("of %s the loader knows    %v\nreferencedocs.go describes %v", s.Name, known, listed)
		}
	}
}

// docs/configuration.md has what the code says of every key.
func TestReferencePage(t *testing.T) {
	text, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), referenceStart)
	listed, after, ended := strings.Cut(rest, referenceEnd)
	if !ok || !ended {
		t.Fatalf("%s has no lines %q and %q", referencePage, referenceStart, referenceEnd)
	}
	want := "\n" + Reference()
	if *updateReference {
		if err := os.WriteFile(referencePage, []byte(before+referenceStart+want+referenceEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != want {
		t.Errorf("docs/configuration.md does not list what referencedocs.go has; write it anew:\n\tgo test ./daemon/internal/config -run Reference -update-reference")
	}
}
