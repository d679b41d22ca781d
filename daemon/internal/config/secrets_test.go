package config

import (
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/options"
)

// What is shown to others has no password, wherever the file has one.
func TestShownHasNoSecrets(t *testing.T) {
	type table struct{ Token string }
	schema, err := options.New(struct {
		Password string
		Servers  []string
		Keys     map[string]string
		Rule     []table
		Folder   string
	}{Folder: "/f"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("f", []byte(`
[[milter]]
name = "a"
use = "a"
[milter.options]
password = "hunter2"
servers = ["redis://me:hunter2@localhost/1", "http://localhost"]
keys = { api_token = "hunter2", color = "red" }
[[milter.options.rule]]
token = "hunter2"
[[milter]]
name = "b"
socket = "inet:1@127.0.0.1"
[milter.macros]
"{db_password}" = "hunter2"
`), Natives{"a": schema})
	if err != nil {
		t.Fatal(err)
	}
	text := string(c.Shown())
	if strings.Contains(text, "hunter2") || strings.Count(text, hidden) != 5 {
		t.Errorf("%s", text)
	}
	for _, kept := range []string{"redis://me:(hidden)@localhost/1", "http://localhost", `"red"`, `"/f"`} {
		if !strings.Contains(text, kept) {
			t.Errorf("%s is not in\n%s", kept, text)
		}
	}
	if !strings.Contains(string(c.TOML()), "hunter2") {
		t.Error("show-config has lost it, and could not be loaded again")
	}
}
