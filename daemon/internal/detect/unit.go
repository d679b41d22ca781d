package detect

import (
	"path"
	"slices"
	"strings"
)

// A line is one setting of a unit file.
type line struct {
	section, key, text string
	at                 Place
}

// A unit is what systemd knows of a unit: its file and its drop-ins, in order.
type unit struct {
	name  string // with its suffix
	file  string
	lines []line
}

// parseUnit reads a unit file. A line that systemd ignores is in ignored; one for
// which it takes nothing of the file is the error.
func parseUnit(file, text string) (lines []line, ignored []*lineError, err *lineError) {
	section := ""
	rows := strings.Split(text, "\n")
	for i := 0; i < len(rows); i++ {
		at := Place{file, i + 1}
		row := strings.TrimSpace(rows[i])
		if row == "" || row[0] == '#' || row[0] == ';' {
			continue
		}
		if strings.ContainsRune(row, 0) {
			return nil, nil, &lineError{i + 1, "it has a NUL, so it is no text"}
		}
		var b strings.Builder
		for strings.HasSuffix(row, `\`) && i+1 < len(rows) {
			b.WriteString(strings.TrimSuffix(row, `\`) + " ")
			i++
			for row = strings.TrimSpace(rows[i]); row != "" && (row[0] == '#' || row[0] == ';') && i+1 < len(rows); {
				i++
				row = strings.TrimSpace(rows[i])
			}
		}
		row = b.String() + row
		if row[0] == '[' {
			if !strings.HasSuffix(row, "]") {
				return nil, nil, &lineError{at.Line, "a section has no ] at its end"}
			}
			section = row[1 : len(row)-1]
			continue
		}
		key, text, ok := strings.Cut(row, "=")
		switch {
		case !ok:
			ignored = append(ignored, &lineError{at.Line, "there is no = in this line"})
		case section == "":
			ignored = append(ignored, &lineError{at.Line, "this line stands before all sections"})
		default:
			lines = append(lines, line{section, strings.TrimSpace(key), strings.TrimSpace(text), at})
		}
	}
	return lines, ignored, nil
}

// all returns the lines of a key that count: an empty one takes back those before it.
func (u *unit) all(section, key string) []line {
	var all []line
	for _, l := range u.lines {
		switch {
		case l.section != section || l.key != key:
		case l.text == "":
			all = nil
		default:
			all = append(all, l)
		}
	}
	return all
}

// last returns the text of a key that has one.
func (u *unit) last(section, key string) string {
	if all := u.all(section, key); len(all) > 0 {
		return all[len(all)-1].text
	}
	return ""
}

// specifiers puts in what % stands for. What only the running system knows stays
// unknown.
func (u *unit) specifiers(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	full := strings.TrimSuffix(u.name, path.Ext(u.name))
	prefix, instance, _ := strings.Cut(full, "@")
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch text[i] {
		case '%':
			b.WriteByte('%')
		case 'i', 'I':
			b.WriteString(instance)
		case 'p', 'P':
			b.WriteString(prefix)
		case 'n':
			b.WriteString(u.name)
		case 'N':
			b.WriteString(full)
		case 'j', 'J':
			b.WriteString(prefix[strings.LastIndexByte(prefix, '-')+1:])
		case 't':
			b.WriteString("/run")
		case 'S':
			b.WriteString("/var/lib")
		case 'C':
			b.WriteString("/var/cache")
		case 'L':
			b.WriteString("/var/log")
		case 'E':
			b.WriteString("/etc")
		default:
			b.WriteString(unknown)
		}
	}
	return b.String()
}

// parseEnvironment reads an EnvironmentFile of systemd, which knows quotes but no
// variables.
func parseEnvironment(file, text string) (vars []variable, ignored []*lineError) {
	rows := strings.Split(text, "\n")
	for i := 0; i < len(rows); i++ {
		at := Place{file, i + 1}
		row := strings.TrimSpace(rows[i])
		if row == "" || row[0] == '#' || row[0] == ';' {
			continue
		}
		for strings.HasSuffix(row, `\`) && i+1 < len(rows) {
			i++
			row = strings.TrimSuffix(row, `\`) + strings.TrimSpace(rows[i])
		}
		name, text, ok := strings.Cut(row, "=")
		name = strings.TrimSpace(name)
		if !ok || !functionName.MatchString(name) {
			ignored = append(ignored, &lineError{at.Line, "this is not NAME=VALUE"})
			continue
		}
		text = strings.TrimSpace(text)
		if words := splitWords(text); len(words) > 0 && (text[0] == '"' || text[0] == '\'') {
			text = words[0]
		}
		vars = append(vars, variable{name, value{text, at}})
	}
	return vars, ignored
}

// splitWords cuts a command line at its blanks, as systemd does: with quotes and
// backslashes, without variables.
func splitWords(text string) []string {
	var all []string
	var b strings.Builder
	var quote byte
	open := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
			open = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && isBlank(rune(c)):
			if open {
				all = append(all, b.String())
				b.Reset()
				open = false
			}
		default:
			b.WriteByte(c)
			open = true
		}
	}
	if open {
		all = append(all, b.String())
	}
	return all
}

// maxLine bounds what variables make of a command line, in bytes.
const maxLine = 256 << 10

// commandLine returns the words of an ExecStart: $NAME alone is split at its
// blanks, ${NAME} is put in.
func commandLine(text string, value func(string) string) []string {
	var all []string
	left := maxLine
	get := func(name string) string {
		text := value(name)
		if left -= len(text); left < 0 {
			return unknown
		}
		return text
	}
	for i, word := range splitWords(text) {
		if i == 0 {
			if word = strings.TrimLeft(word, "-:+!|"); strings.HasPrefix(word, "@") {
				word = strings.TrimLeft(word, "@-:+!|")
				all = append(all, word, "@")
				continue
			}
		}
		if name := strings.TrimPrefix(word, "$"); name != word && functionName.MatchString(name) {
			all = append(all, splitWords(get(name))...)
			continue
		}
		all = append(all, putIn(word, get))
	}
	if i := slices.Index(all, "@"); i == 1 && len(all) > 2 { // what follows is the program's own name for itself
		all = slices.Delete(all, 1, 3)
	}
	return all
}

// putIn replaces ${NAME} and $NAME within a word.
func putIn(word string, get func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(word, "$")
		b.WriteString(before)
		if !ok || b.Len() > maxText {
			return b.String()
		}
		if name, after, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}"); ok && rest[0] == '{' {
			b.WriteString(get(name))
			word = after
			continue
		}
		if strings.HasPrefix(rest, "$") {
			rest = rest[1:]
			b.WriteByte('$')
			word = rest
			continue
		}
		n := 0
		for n < len(rest) && isNameByte(rest[n]) {
			n++
		}
		if n == 0 {
			b.WriteByte('$')
		} else {
			b.WriteString(get(rest[:n]))
		}
		word = rest[n:]
	}
}
