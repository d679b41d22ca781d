package daemon

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// The configuration in the README is a good one.
func TestReadmeConfigurationIsGood(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```toml\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("README.md has no configuration")
	}
	c, err := config.Parse("README.md", m[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(advice(c), "\n"); len(c.Enabled()) != 3 || strings.Contains(notes, "timeout") || strings.Contains(notes, "reached") {
		t.Errorf("%d milters, %s", len(c.Enabled()), notes)
	}
}
