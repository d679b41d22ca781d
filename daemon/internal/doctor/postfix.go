package doctor

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read of Postfix's configuration.
const (
	maxFile   = 4 << 20
	maxDepth  = 20       // of parameters that name each other
	maxExpand = 64 << 10 // bytes of a value, when they are put in
)

// defaults are those of Postfix's parameters that are looked at. Source: postconf(5).
var defaults = map[string]string{
	"queue_directory":        "/var/spool/postfix",
	"mail_owner":             "postfix",
	"compatibility_level":    "0",
	"milter_connect_timeout": "30s",
	"milter_command_timeout": "30s",
	"milter_content_timeout": "300s",
	"milter_protocol":        "6",
}

// Postfix is what its files say.
type Postfix struct {
	dir      string
	params   map[string]param
	services []service
}

// A param is a parameter and where it is set.
type param struct {
	value string
	line  int
}

// A service is a line of master.cf.
type service struct {
	name, kind string // "smtp" "inet"
	line       int
	chroot     bool
	program    string           // "smtpd"
	own        map[string]param // its -o
}

// String is the service as an administrator finds it.
func (s *service) String() string {
	return fmt.Sprintf("%s %s (master.cf:%d)", s.program, s.name, s.line)
}

// ReadPostfix reads main.cf and master.cf of a folder.
func ReadPostfix(dir string) (*Postfix, error) {
	p := &Postfix{dir: dir, params: map[string]param{}}
	text, err := readFile(p.mainCF())
	if err != nil {
		return nil, err
	}
	for _, l := range logicalLines(text) {
		name, value, ok := strings.Cut(l.value, "=")
		if ok {
			p.params[strings.TrimSpace(name)] = param{strings.TrimSpace(value), l.line}
		}
	}
	if text, err = readFile(p.masterCF()); err != nil {
		return nil, err
	}
	for _, l := range logicalLines(text) {
		if s, ok := p.service(l); ok {
			p.services = append(p.services, s)
		}
	}
	return p, nil
}

func (p *Postfix) mainCF() string   { return filepath.Join(p.dir, "main.cf") }
func (p *Postfix) masterCF() string { return filepath.Join(p.dir, "master.cf") }

// readFile reads a file that is not huge.
func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return string(data), err
}

// logicalLines are the lines of a file of Postfix's: one that begins with a blank
// goes on with the one before it. Source: postconf(5).
func logicalLines(text string) []param {
	var all []param
	n := 0
	for line := range strings.Lines(text) {
		n++
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case (line[0] == ' ' || line[0] == '\t') && len(all) > 0:
			all[len(all)-1].value += " " + trimmed
		default:
			all = append(all, param{trimmed, n})
		}
	}
	return all
}

// service reads a line of master.cf: name type private unprivileged chroot wakeup
// maxproc program, and arguments.
func (p *Postfix) service(l param) (service, bool) {
	words := split(l.value, " \t")
	if len(words) < 8 {
		return service{}, false
	}
	s := service{name: words[0], kind: words[1], line: l.line, program: path.Base(words[7]), own: map[string]param{}}
	s.chroot = words[4] == "y" || words[4] == "-" && p.oldDefaults()
	for i := 8; i < len(words); i++ {
		option, ok := strings.CutPrefix(words[i], "-o")
		if ok && option == "" && i+1 < len(words) {
			i++
			option = words[i]
		}
		option = strings.TrimSuffix(strings.TrimPrefix(option, "{"), "}")
		if name, value, set := strings.Cut(option, "="); ok && set {
			s.own[strings.TrimSpace(name)] = param{strings.TrimSpace(value), l.line}
		}
	}
	return s, true
}

// oldDefaults reports whether a - in the column of the chroot is a y. Source: master(5).
func (p *Postfix) oldDefaults() bool {
	major, _, _ := strings.Cut(p.value(nil, "compatibility_level"), ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 1
}

// split splits at separators, but not within braces.
func split(s, separators string) []string {
	var list []string
	depth, start := 0, -1
	for i := 0; i <= len(s); i++ {
		if i == len(s) || depth == 0 && strings.IndexByte(separators, s[i]) >= 0 {
			if start >= 0 {
				list = append(list, s[start:i])
			}
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth = max(depth-1, 0)
		}
	}
	return list
}

// raw is a parameter as a service has it, or main.cf, or Postfix itself.
func (p *Postfix) raw(s *service, name string) (value param, file string) {
	if s != nil {
		if own, ok := s.own[name]; ok {
			return own, p.masterCF()
		}
	}
	if set, ok := p.params[name]; ok {
		return set, p.mainCF()
	}
	value.value = defaults[name]
	if name == "myhostname" {
		value.value, _ = os.Hostname()
	}
	return value, ""
}

// value is a parameter with those that it names put in.
func (p *Postfix) value(s *service, name string) string {
	set, _ := p.raw(s, name)
	work := 1000
	return p.expand(s, set.value, maxDepth, &work)
}

// expand puts in $name, ${name}, $(name), ${name?text}, ${name:text} and
// ${name?{text}:{text}}.
func (p *Postfix) expand(s *service, text string, depth int, work *int) string {
	var b strings.Builder
	for i := 0; i < len(text) && b.Len() < maxExpand; i++ {
		if text[i] != '$' || depth == 0 || *work == 0 {
			b.WriteByte(text[i])
			continue
		}
		name, end := parameterName(text, i+1)
		if name == "" {
			continue
		}
		*work--
		name, rest, mark := cutMark(name)
		set, _ := p.raw(s, name)
		then, otherwise := set.value, ""
		switch mark {
		case '?':
			then, otherwise = branches(rest)
		case ':':
			then, _ = branches(rest)
			then, otherwise = "", then
		}
		if mark != 0 && set.value == "" {
			then = otherwise
		}
		b.WriteString(p.expand(s, then, depth-1, work))
		i = end - 1
	}
	return b.String()
}

// parameterName is the name behind a $, and where it ends.
func parameterName(text string, at int) (name string, end int) {
	if at < len(text) && (text[at] == '{' || text[at] == '(') {
		shut := closing(text[at:], map[byte]byte{'{': '}', '(': ')'}[text[at]])
		if shut < 0 {
			return text[at+1:], len(text)
		}
		return text[at+1 : at+shut], at + shut + 1
	}
	end = at
	for end < len(text) && (text[end] == '_' || '0' <= text[end] && text[end] <= '9' || 'a' <= text[end]|0x20 && text[end]|0x20 <= 'z') {
		end++
	}
	return text[at:end], end
}

// closing is where the bracket ends with which a text begins, -1 where it does not.
func closing(text string, end byte) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case text[0]:
			depth++
		case end:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// branches takes {text}:{text} apart. What is not in braces is one text.
func branches(text string) (then, otherwise string) {
	if !strings.HasPrefix(text, "{") {
		return text, ""
	}
	shut := closing(text, '}')
	if shut < 0 {
		return text, ""
	}
	if rest, ok := strings.CutPrefix(text[shut+1:], ":"); ok {
		otherwise, _ = branches(rest)
	}
	return text[1:shut], otherwise
}

// cutMark takes name?text and name:text apart; the mark is 0 where there is none.
func cutMark(s string) (name, text string, mark byte) {
	i := strings.IndexAny(s, "?:")
	if i < 0 {
		return s, "", 0
	}
	return s[:i], s[i+1:], s[i]
}

// durationOf reads a time of Postfix's: a number with a unit, or seconds.
func durationOf(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	units := map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}
	digits := strings.TrimRight(text, "smhdwSMHDW")
	unit, ok := units[strings.ToLower(text[len(digits):])]
	n, err := strconv.ParseUint(digits, 10, 31)
	return time.Duration(n) * unit, ok && err == nil
}
