package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// doc.go names every file of the package, and no other.
func TestTheMapOfFilesIsComplete(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"doc.go": true}
	for line := range strings.Lines(string(doc)) {
		if word := strings.Fields(line); len(word) > 2 && word[0] == "//" && strings.HasSuffix(word[1], ".go") {
			listed[word[1]] = true
		}
	}
	files, _ := filepath.Glob("*.go")
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && !listed[file] {
			t.Errorf("%s is not in the list", file)
		}
		delete(listed, file)
	}
	for file := range listed {
		t.Errorf("%s is in the list and is not there", file)
	}
}
