package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// A SectionDoc is what the reference says of one section of the file.
type SectionDoc struct {
	Name  string // as it stands in the file, "[server]"
	About string // a line of Markdown, or ""
	Keys  []Doc
}

// Docs is the reference: each section with its keys, whose defaults are filled in as
// Markdown.
func Docs() []SectionDoc {
	server, milter, shadow := defaultServer(), defaultMilter(), defaultMilter()
	shadow.Shadow.V = true // shows shadow_share, too
	return []SectionDoc{
		{"[server]", "", withDefaults(serverDocs, server.settings())},
		{"[[milter]]", "In the order in which they are asked.", withDefaults(milterDocs, append(milter.settings(), shadow.settings()...))},
	}
}

func withDefaults(docs []Doc, defaults section) []Doc {
	docs = slices.Clone(docs)
	for i, d := range docs {
		at := slices.IndexFunc(defaults, func(v setting) bool { return v.key == d.Key })
		if d.Default == "" && at >= 0 {
			docs[i].Default = "`" + tomlfile.Literal(defaults[at].value) + "`"
		}
	}
	return docs
}

// Reference writes the sections of docs/configuration.md that list every key with
// its default and meaning.
func Reference() string {
	var b strings.Builder
	for _, s := range Docs() {
		fmt.Fprintf(&b, "## %s\n\n", s.Name)
		if s.About != "" {
			b.WriteString(s.About + "\n\n")
		}
		b.WriteString("| key | default | meaning |\n|---|---|---|\n")
		for _, d := range s.Keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Key, d.Default, d.Meaning)
		}
		b.WriteString("\n")
	}
	return b.String()
}
