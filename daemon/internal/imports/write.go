package imports

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text is a string as TOML has it.
func text(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == utf8.RuneError:
			b.WriteByte('?')
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// list is a list of strings as TOML has it, one a line where it is long.
func list(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = text(s)
	}
	if line := "[" + strings.Join(quoted, ", ") + "]"; len(line) <= 110 {
		return line
	}
	return "[\n  " + strings.Join(quoted, ",\n  ") + ",\n]"
}

// conditionText is a condition as TOML has it, in single quotes where it can be.
func conditionText(c cond) string {
	if strings.Contains(c.text, "'") {
		return text(c.text)
	}
	return "'" + c.text + "'"
}

func number(n int) string { return strconv.Itoa(n) }

// floatText is a number as TOML has a float.
func floatText(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// render writes the configuration.
func (p *plan) render() []byte {
	var b strings.Builder
	comment := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		b.WriteString(strings.TrimRight("# "+indent+printable(line), " ") + "\n")
	}
	comment("Written by milterkit import, from %s.", strings.Join(p.files, ", "))
	if len(p.all()) > 0 {
		comment("What could not be imported stands in comments, each with its file and line.")
	}
	if needs := p.needs(); len(needs) > 0 {
		comment("")
		comment("These must be there, for the user milterkit (milterkit check tells what is amiss):")
		for _, n := range needs {
			comment("  %s", n)
		}
	}
	comment("")
	if p.manager != nil && p.socket != "" && len(p.postfix) > 1 {
		comment("In main.cf the socket of milter-manager, which is used here, stays as the only one. Stop milter-manager before.")
	} else if p.manager != nil && p.socket != "" {
		comment("The socket is that of milter-manager, so main.cf stays as it is. Stop milter-manager before.")
	} else {
		port := p.freePort()
		if !slices.ContainsFunc(p.keys, func(e entry) bool { return e.key == "listen" }) {
			set(&p.keys, "listen", list([]string{"inet:" + port + "@127.0.0.1"}))
		}
		comment("In main.cf: smtpd_milters = inet:127.0.0.1:%s, and non_smtpd_milters = $smtpd_milters.", port)
	}
	b.WriteByte('\n')
	p.server.render(comment)
	if len(p.keys) > 0 {
		b.WriteString("[server]\n")
		entries(&b, p.keys)
	}
	for i, m := range p.milters {
		if i > 0 || len(p.keys)+len(p.server.notes)+len(p.server.findings) > 0 {
			b.WriteByte('\n')
		}
		m.render(&b, comment)
	}
	return []byte(b.String())
}

// freePort is one that none of the milters has. A Postfix in a chroot gets to it, too.
func (p *plan) freePort() string {
	for port := 8890; ; port-- {
		name := strconv.Itoa(port)
		if !slices.ContainsFunc(p.milters, func(m *milter) bool { return strings.Contains(m.socket, name) }) {
			return name
		}
	}
}

// render writes the comments of a section.
func (s *sections) render(comment func(string, ...any)) {
	for _, n := range s.notes {
		comment("%s", n)
	}
	for _, f := range s.findings {
		comment("not imported: %s", f)
	}
}

func entries(b *strings.Builder, list []entry) {
	width := 0
	for _, e := range list {
		width = max(width, len(e.key))
	}
	for _, e := range list {
		fmt.Fprintf(b, "%-*s = %s\n", width, e.key, e.value)
	}
}

func (m *milter) render(b *strings.Builder, comment func(string, ...any)) {
	if m.from != "" {
		comment("%s", m.from)
	}
	m.sections.render(comment)
	b.WriteString("[[milter]]\n")
	head := []entry{{"name", text(m.name)}}
	if m.use != "" {
		head = append(head, entry{"use", text(m.use)})
	} else {
		head = append(head, entry{"socket", text(m.socket)})
	}
	if m.when.text != "" {
		head = append(head, entry{"when", conditionText(m.when)})
	}
	entries(b, append(head, m.keys...))
	if len(m.macros) > 0 {
		b.WriteString("[milter.macros]\n")
		entries(b, m.macros)
	}
	if len(m.options)+len(m.tables) > 0 {
		b.WriteString("[milter.options]\n")
		entries(b, m.options)
	}
	for _, t := range m.tables {
		fmt.Fprintf(b, "[[milter.options.%s]]\n", t.name)
		entries(b, t.entries)
	}
}

// needs are the files and folders that must be there.
func (p *plan) needs() []string {
	var paths []string
	for _, s := range p.services {
		paths = append(paths, s.paths...)
	}
	for _, m := range p.milters {
		if path, ok := strings.CutPrefix(m.socket, "unix:"); ok {
			paths = append(paths, path)
		}
	}
	for i, name := range paths {
		file, _, _ := strings.Cut(name, ", ")
		if p.options.Exists != nil && strings.HasPrefix(file, "/") && !p.options.Exists(file) {
			paths[i] += "  (not on this machine)"
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// all are the findings, by file and line.
func (p *plan) all() []Finding {
	all := slices.Clone(p.server.findings)
	for _, m := range p.milters {
		all = append(all, m.findings...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		if i, j := slices.Index(p.files, a.File), slices.Index(p.files, b.File); i != j {
			return i - j
		}
		return a.Line - b.Line
	})
	return all
}

// folderOf is the folder of a file, for needs.
func folderOf(file string) string { return path.Dir(file) + "/" }
