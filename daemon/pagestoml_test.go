package daemon

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/milterkit"
)

// maxRcpt is the child of docs/your-own-milterkit.md.
var maxRcpt = Use("max-rcpt", struct{ Max int }{100}, func(struct{ Max int }) (milterkit.Child, error) { return idle("max-rcpt"), nil })

// Every configuration that a page shows passes check. A configuration is a block that
// says ```toml; where it is a part of one, completed says what the rest is.
func TestConfigurationsOfPagesPassCheck(t *testing.T) {
	count := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.info != "toml" {
				if startsConfiguration.MatchString(b.text) && !strings.HasPrefix(b.info, "toml ") {
					t.Errorf("%s:%d: this looks like a configuration, and does not say ```toml", p.path, b.line)
				}
				continue
			}
			for _, text := range completed(b.text) {
				count++
				t.Run(fmt.Sprintf("%s:%d", p.path, b.line), func(t *testing.T) {
					t.Parallel()
					dir := publicDir(t)
					file := filepath.Join(dir, "milterkit.toml")
					if err := os.WriteFile(file, []byte(anywhere(t, dir, text)), 0o644); err != nil {
						t.Fatal(err)
					}
					if status, _, stderr := end(t, "check", "--no-connect", "--config", file); status != exitOK {
						t.Errorf("status %d\n%sof\n%s", status, stderr, text)
					}
				})
			}
		}
	}
	if count < 30 {
		t.Errorf("there are %d configurations", count)
	}
}

var (
	startsConfiguration = regexp.MustCompile(`^(?:\s*(?:#.*)?\n)*(?:\[server\]|\[\[?milter[].]|(?:when|listen|use|socket|options|together|shadow|default_action) *= )`)
	firstSection        = regexp.MustCompile(`(?m)^\[+([a-z]+)([].])`)
	lineOfMilter        = regexp.MustCompile(`^(?:when|connect_timeout|command_timeout|content_timeout|default_action|pipeline|together|shadow|sendmail_macros|enabled) *=`)
)

// completed makes whole configurations of a block. Keys that stand before the first
// section, and [milter.options] or [milter.macros] without a milter, are put behind
// a milter on a socket; keys of [server] below [server]. Of lines that set one key
// several times, each is a configuration of its own.
func completed(text string) []string {
	const milter = "[[milter]]\nname = \"example\"\nsocket = \"unix:/run/example.sock\"\n"
	first := firstSection.FindStringSubmatchIndex(text)
	before := text
	if first != nil {
		before = text[:first[0]]
	}
	var keys []string
	for _, line := range strings.Split(before, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	switch {
	case len(keys) == 0 && text[first[4]:first[5]] == ".":
		return []string{milter + text}
	case len(keys) == 0:
		return []string{text}
	case !lineOfMilter.MatchString(keys[0]):
		return []string{"[server]\n" + text}
	case len(keys) > 1 && strings.Fields(keys[0])[0] == strings.Fields(keys[1])[0]:
		for i := range keys {
			keys[i] = milter + keys[i] + "\n"
		}
		return keys
	}
	return []string{milter + text}
}

var (
	userKey      = regexp.MustCompile(`(?m)^user +=.*$`)
	groupKey     = regexp.MustCompile(`(?m)^socket_group +=.*$`)
	usesGreylist = regexp.MustCompile(`(?m)^use += "greylist"`)
	ourFiles     = regexp.MustCompile(`"/(?:etc|var/lib)/[a-z]+/([^"*]+)"`)
)

// anywhere makes a configuration one that this machine can have: with the user and
// the group that there are, and with its files, which are made, in dir.
func anywhere(t *testing.T, dir, text string) string {
	t.Helper()
	const header, options = "[[milter]]\n", "[milter.options]\n"
	parts := strings.Split(text, header)
	server := userKey.ReplaceAllString(parts[0], "")
	server = groupKey.ReplaceAllString(server, `socket_group = ""`)
	parts[0] = "[server]\nuser = \"root\"\n" + strings.Replace(server, "[server]\n", "", 1)
	for i, milter := range parts {
		if !usesGreylist.MatchString(milter) || strings.Contains(milter, "\ndatabase ") || strings.Contains(milter, "\nredis ") {
			continue
		}
		if !strings.Contains(milter, options) {
			milter += options
		}
		parts[i] = strings.Replace(milter, options, options+"database = \"/var/lib/milterkit/greylist.db\"\n", 1)
	}
	text = strings.Join(parts, header)
	return ourFiles.ReplaceAllStringFunc(text, func(s string) string {
		path := filepath.Join(dir, ourFiles.FindStringSubmatch(s)[1])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch filepath.Ext(path) {
		case ".db": // made by serve
		case ".pem", ".private":
			key, keyErr := dkim.GenerateKey("ed25519")
			if _, err = os.Stat(path); err != nil {
				err = cmp.Or(keyErr, dkim.WriteKey(path, key))
			}
		default:
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return `"` + path + `"`
	})
}
