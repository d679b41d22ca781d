package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// A referenceSection is the part of the reference about one section of the file.
type referenceSection struct {
	name, about string
	docs        []Doc
	defaults    section
}

func reference() []referenceSection {
	server, milter, shadow := defaultServer(), defaultMilter(), defaultMilter()
	shadow.Shadow.V = true // shows shadow_share, too
	return []referenceSection{
		{"[server]", "", serverDocs, server.settings()},
		{"[[milter]]", "In the order in which they are asked.", milterDocs, append(milter.settings(), shadow.settings()...)},
	}
}

// standard returns what holds where the key is not set, as Markdown.
func (s *referenceSection) standard(d Doc) string {
	if d.Default != "" {
		return d.Default
	}
	i := slices.IndexFunc(s.defaults, func(v setting) bool { return v.key == d.Key })
	if i < 0 {
		return ""
	}
	return "`" + tomlfile.Literal(s.defaults[i].value) + "`"
}

// Reference writes the sections of docs/configuration.md that list every key with
// its default and meaning.
func Reference() string {
	var b strings.Builder
	for _, s := range reference() {
		fmt.Fprintf(&b, "## %s\n\n", s.name)
		if s.about != "" {
			b.WriteString(s.about + "\n\n")
		}
		b.WriteString("| key | default | meaning |\n|---|---|---|\n")
		for _, d := range s.docs {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Key, s.standard(d), d.Meaning)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const manualHead = `milterkit.toml 5
==============

# NAME

milterkit.toml - the configuration file of milterkit

# DESCRIPTION

TOML, **/etc/milterkit/milterkit.toml** unless **--config** says otherwise. **milterkit check** reads it and tells everything
that is wrong at once; **milterkit show-config** prints what is in effect.

Durations are written "300ms", "25s", "4m50s"; sizes "256MiB", "10MB", or a number of bytes. Sockets are written as in Postfix
and libmilter: unix:PATH, inet:PORT@HOST, inet:HOST:PORT, inet6:PORT@[ADDR]; to listen on also systemd:NAME.

`

const manualFoot = `# SEE ALSO

What conditions are made of, limits, failures, shadows and the lines of the log are told in configuration.md of milterkit's
documentation; the options of the native children on a page for each.

**milterkit**(1), **milterkit-check**(1), **milterkit-show-config**(1)
`

var markdownLink = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)

// Manual writes the manual page milterkit.toml(5) in the Markdown that go-md2man
// takes: the same keys, with the links of the page in docs as plain words.
func Manual() []byte {
	var b strings.Builder
	b.WriteString(manualHead)
	for _, s := range reference() {
		fmt.Fprintf(&b, "# %s\n\n", s.name)
		if s.about != "" {
			b.WriteString(s.about + "\n\n")
		}
		for _, d := range s.docs {
			meaning := markdownLink.ReplaceAllString(d.Meaning, "$1")
			fmt.Fprintf(&b, "**%s** (%s)\n: %s\n\n", d.Key, s.standard(d), meaning)
		}
	}
	b.WriteString(manualFoot)
	return []byte(b.String())
}
