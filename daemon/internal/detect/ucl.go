package detect

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// A setting of rspamd, with its way through the sections, such as
// worker.rspamd_proxy.bind_socket. Of a higher priority it counts instead of those
// of a lower one; several of the same are a list.
type uclSetting struct {
	path     string
	text     string
	at       Place
	priority int
}

// A ucl reads rspamd's configuration: as much of UCL as it takes to know the
// settings of a worker.
type ucl struct {
	read     func(string) (string, bool)
	broken   func(Place, string)
	vars     map[string]string // $CONFDIR and the like
	settings []uclSetting
	files    int
}

// Bounds of a configuration.
const (
	maxIncludes = 200
	maxSettings = 50000
	maxPath     = 500 // bytes of the way to one
)

// A uclLexer cuts one file into words, texts and signs.
type uclLexer struct {
	text string
	pos  int
	line int
}

// next returns a token: a sign of one byte, or a text. At the end ok is false.
func (l *uclLexer) next() (tok string, sign, ok bool) {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch {
		case c == '\n':
			l.line++
			l.pos++
			return "\n", true, true
		case isBlank(rune(c)):
			l.pos++
		case c == '#':
			rest, _, _ := strings.Cut(l.text[l.pos:], "\n")
			l.pos += len(rest)
		case strings.HasPrefix(l.text[l.pos:], "/*"):
			rest, _, _ := strings.Cut(l.text[l.pos:], "*/")
			l.line += strings.Count(rest, "\n")
			l.pos = min(l.pos+len(rest)+2, len(l.text))
		case strings.IndexByte("{}[]=:;,()", c) >= 0:
			l.pos++
			return string(c), true, true
		case c == '"' || c == '\'':
			return l.quoted(c), false, true
		case strings.HasPrefix(l.text[l.pos:], "<<"):
			if text, is := l.heredoc(); is {
				return text, false, true
			}
			l.pos += 2
			return "<<", false, true
		default:
			start := l.pos
			for l.pos < len(l.text) && strings.IndexByte(" \t\r\n{}[]=;,()\"", l.text[l.pos]) < 0 {
				if l.text[l.pos] == ':' && (l.pos+1 == len(l.text) || isBlank(rune(l.text[l.pos+1]))) {
					break // key: value; other colons are of the word
				}
				l.pos++
			}
			if l.pos == start {
				l.pos++
			}
			return l.text[start:l.pos], false, true
		}
	}
	return "", false, false
}

func (l *uclLexer) quoted(quote byte) string {
	var b strings.Builder
	for l.pos++; l.pos < len(l.text) && l.text[l.pos] != quote; l.pos++ {
		if l.text[l.pos] == '\n' {
			l.line++
		}
		if l.text[l.pos] == '\\' && l.pos+1 < len(l.text) {
			l.pos++
		}
		b.WriteByte(l.text[l.pos])
	}
	l.pos = min(l.pos+1, len(l.text))
	return b.String()
}

// heredoc takes <<NAME … NAME.
func (l *uclLexer) heredoc() (string, bool) {
	head, rest, found := strings.Cut(l.text[l.pos+2:], "\n")
	name := strings.TrimSpace(head)
	if !found || name == "" || strings.ToUpper(name) != name {
		return "", false
	}
	body, _, found := strings.Cut("\n"+rest, "\n"+name)
	if !found {
		return "", false
	}
	l.line += strings.Count(body, "\n") + 1
	l.pos = min(l.pos+2+len(head)+1+len(body)+len(name), len(l.text))
	return strings.TrimPrefix(body, "\n"), true
}

// A uclFrame is a section that is open.
type uclFrame struct {
	path string
	list bool // [ … ]
	from Place
}

// follow reads a file, whose settings stand below the path.
func (u *ucl) follow(file, text, under string, priority int) {
	if u.files++; u.files > maxIncludes {
		return
	}
	l := &uclLexer{text: text, line: 1}
	open := []uclFrame{{path: under}}
	var words []string // of the statement at hand
	at := Place{file, 1}
	assigned := false
	end := func() {
		here := open[len(open)-1]
		switch {
		case len(words) > 0 && here.list:
			for _, w := range words {
				u.add(here.path, w, at, priority)
			}
		case len(words) >= 2:
			u.add(join(here.path, words[0]), strings.Join(words[1:], " "), at, priority)
		}
		words, assigned = nil, false
	}
	for {
		line := l.line
		tok, sign, ok := l.next()
		if !ok {
			break
		}
		if !sign {
			if len(words) == 0 {
				at = Place{file, line}
			}
			if strings.HasPrefix(tok, ".include") && len(words) == 0 {
				u.include(l, file, open[len(open)-1].path, priority)
				continue
			}
			words = append(words, tok)
			continue
		}
		switch tok {
		case "\n":
			if len(words) > 1 || assigned && len(words) > 0 && open[len(open)-1].list {
				end()
			}
		case ";", ",":
			end()
		case "=", ":":
			assigned = true
		case "{", "[":
			section := join(open[len(open)-1].path, strings.Join(words, "."))
			words, assigned = nil, false
			if len(section) > maxPath {
				u.broken(Place{file, line}, "the names of the sections are too long")
				return
			}
			if len(open) >= maxNested {
				u.broken(Place{file, line}, "too many sections within each other")
				return
			}
			open = append(open, uclFrame{section, tok == "[", Place{file, line}})
		case "}", "]":
			end()
			if len(open) == 1 {
				u.broken(Place{file, line}, "a "+tok+" that closes nothing")
				return
			}
			open = open[:len(open)-1]
		}
	}
	end()
	if len(open) > 1 {
		u.broken(open[len(open)-1].from, "this section has no end")
	}
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

func (u *ucl) add(path, text string, at Place, priority int) {
	if len(u.settings) < maxSettings {
		u.settings = append(u.settings, uclSetting{path, text, at, priority})
	}
}

// include follows another file: .include(try=true; priority=1) "$CONFDIR/x.inc".
func (u *ucl) include(l *uclLexer, file, under string, priority int) {
	name, inside := "", false
	for key := ""; name == ""; {
		tok, sign, ok := l.next()
		switch {
		case !ok || tok == "\n" && sign && !inside:
			return
		case tok == "(" && sign:
			inside = true
		case tok == ")" && sign:
			inside = false
		case sign:
		case !inside:
			name = tok
		case key == "priority":
			if n, err := strconv.Atoi(tok); err == nil {
				priority = n
			}
			key = ""
		default:
			key = tok
		}
	}
	for variable, text := range u.vars {
		name = strings.ReplaceAll(strings.ReplaceAll(name, "${"+variable+"}", text), "$"+variable, text)
	}
	if !strings.HasPrefix(name, "/") {
		name = path.Join(path.Dir(file), name)
	}
	if text, ok := u.read(name); ok {
		u.follow(name, text, under, priority)
	}
}

// get returns the settings of a path that count.
func (u *ucl) get(path string) []uclSetting {
	var all []uclSetting
	for _, s := range u.settings {
		if s.path != path {
			continue
		}
		if len(all) > 0 && s.priority > all[0].priority {
			all = nil
		}
		if len(all) == 0 || s.priority == all[0].priority {
			all = append(all, s)
		}
	}
	return all
}

// last returns the one setting of a path that counts most.
func (u *ucl) last(path string) (uclSetting, bool) {
	all := u.get(path)
	if len(all) == 0 {
		return uclSetting{}, false
	}
	return all[len(all)-1], true
}

// has reports whether anything is set below a path.
func (u *ucl) has(path string) bool {
	return slices.ContainsFunc(u.settings, func(s uclSetting) bool { return strings.HasPrefix(s.path, path+".") })
}
