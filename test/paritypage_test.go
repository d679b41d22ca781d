package test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var updateParity = flag.Bool("update-parity", false, "write the differences that are known to docs/parity.md")

const (
	parityPage  = "../docs/parity.md"
	parityStart = "<!-- from test/paritydifferences_test.go: go test ./test -run ParityPage -update-parity -->\n"
)

// TestParityPage finds on the page for users the differences that TestParity knows,
// and no others.
func TestParityPage(t *testing.T) {
	text, err := os.ReadFile(parityPage)
	if err != nil {
		t.Fatal(err)
	}
	before, listed, ok := strings.Cut(string(text), parityStart)
	if !ok {
		t.Fatalf("%s has no line %q", parityPage, parityStart)
	}
	want := parityTables(t)
	if *updateParity {
		if err := os.WriteFile(parityPage, []byte(before+parityStart+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != want {
		t.Errorf("%s does not list what paritydifferences_test.go has; write it anew:\n\tgo test ./test -run ParityPage -update-parity", parityPage)
	}
}

// parityTables are the tables of the page.
func parityTables(t *testing.T) string {
	keys, err := newDKIMKeys()
	if err != nil {
		t.Fatal(err)
	}
	messages := corpus(keys)
	var b strings.Builder
	for _, p := range pairsOf("", "", "") {
		sent, different, known := 0, 0, p.known()
		for i := range messages {
			if s := &messages[i]; p.messages(s) {
				sent++
				if _, listed := known[s.name]; listed {
					different++
				}
			}
		}
		fmt.Fprintf(&b, "\n## %s\n\nIn place of %s: %d messages, %d with another answer.", p.name, strings.Join(p.replaces, ", "), sent, different)
		switch rows := parityRows(p.name); {
		case rows != "":
			fmt.Fprintf(&b, "\n\n| message | daemon | here | why |\n|---|---|---|---|\n%s", rows)
		case different > 0:
			b.WriteString(" They are those above, where another thing becomes of the message.\n")
		default:
			b.WriteString("\n")
		}
	}
	return b.String()
}

// parityRows are the rows of the table of a pair.
func parityRows(pair string) string {
	var b strings.Builder
	for _, d := range differences {
		if d.pair == pair {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.Join(d.messages, "; "), d.daemon, d.ours, d.why)
		}
	}
	return b.String()
}
