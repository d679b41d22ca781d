package manpage

import (
	"io"
	"regexp"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// ConfigurationPage is the file of the page about the configuration file.
const ConfigurationPage = "milterkit.toml.5"

const configurationText = `TOML, /etc/milterkit/milterkit.toml unless --config says otherwise. milterkit check reads it and tells everything
that is wrong at once; milterkit show-config prints what is in effect, every value with where it came from.

Durations are written "300ms", "25s", "4m50s"; sizes "256MiB", "10MB", or a number of bytes. Sockets are written as in Postfix
and libmilter: unix:PATH, inet:PORT@HOST, inet:HOST:PORT, inet6:PORT@[ADDR]; to listen on also systemd:NAME.`

// WriteConfiguration writes the page, with every key of the file, of what
// docs/configuration.md is made of, too.
func WriteConfiguration(w io.Writer, date, version string) error {
	p := &page{}
	p.line(".TH MILTERKIT.TOML 5 %q %q milterkit", date, version)
	p.section("NAME")
	p.line(`milterkit.toml \- the configuration file of milterkit`)
	p.section("DESCRIPTION")
	p.prose(configurationText)
	for _, s := range config.Docs() {
		p.section(s.Name)
		if s.About != "" {
			p.line("%s", marked(s.About))
		}
		for _, d := range s.Keys {
			p.line(".TP\n\\fB%s\\fR (%s)\n%s", escape(d.Key), marked(d.Default), marked(d.Meaning))
		}
	}
	p.section("SEE ALSO")
	p.line("What conditions are made of, limits, failures and the lines of the log are told on the page configuration of milterkit\\(aqs")
	p.line("documentation, the options of the native children on a page for each.\n.PP")
	p.line(".BR milterkit (%s) ,\n.BR milterkit\\-check (%s) ,\n.BR milterkit\\-show\\-config (%s)", Section, Section, Section)
	_, err := io.WriteString(w, p.String())
	return err
}

var link = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)

// marked is a line of Markdown in the language of man(7): code is bold, a link its text.
func marked(text string) string {
	parts := strings.Split(link.ReplaceAllString(text, "$1"), "`")
	for i, part := range parts {
		parts[i] = escape(part)
		if i%2 == 1 {
			parts[i] = `\fB` + parts[i] + `\fR`
		}
	}
	return strings.Join(parts, "")
}
