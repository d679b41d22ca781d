package detect

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Place is a line of a file, by its path on the system that it belongs to.
type Place struct {
	File string
	Line int // 0: the file as a whole
}

// A value is the text of a variable and where it was set.
type value struct {
	text string
	at   Place
}

// unknown stands in a text for what only running a program would tell.
const unknown = "\x00"

// A truth is how a command ended.
type truth int

const (
	perhaps truth = iota // nobody knows without running it
	yes
	no
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth { return [...]truth{perhaps, no, yes}[t] }

// Bounds of what a script can take.
const (
	maxSteps = 20000    // commands
	maxCalls = 20       // functions, files and evals within each other
	maxText  = 16 << 10 // bytes of a variable
	maxWork  = 32 << 20 // bytes that words become, and steps of comparing them
)

// A call is a command that a script would have run.
type call struct {
	words []string
	at    Place
}

// A shell follows a script without running anything: it knows assignments,
// conditions, functions and files of the tree. What would take a program is
// unknown; a condition that hangs on it counts as not met.
type shell struct {
	files  tree
	vars   map[string]value
	order  []string // names in the order in which they were first set
	funcs  map[string]node
	args   []string // $0, $1, …
	ran    []call
	stop   string // "exit" or "return", once that was met
	status truth
	file   string // the one at hand
	line   int
	steps  int
	work   int
	calls  int
	broken func(Place, string) // is told of files with mistakes

	// own are commands that a system's scripts have besides.
	own map[string]func(*shell, []string) truth
}

func newShell(files tree, broken func(Place, string)) *shell {
	return &shell{files: files, broken: broken, vars: map[string]value{}, funcs: map[string]node{}, args: []string{"sh"}}
}

// spend reports whether there may be so much more work. If not, the script ends here.
func (s *shell) spend(work int) bool {
	if s.work > maxWork {
		return false
	}
	if s.work += work; s.work > maxWork {
		s.stop = "exit"
		s.broken(s.here(), "it takes too much to follow this script")
		return false
	}
	return true
}

func (s *shell) here() Place { return Place{s.file, s.line} }

func (s *shell) get(name string) string { return s.vars[name].text }

func (s *shell) set(name, text string) {
	if len(text) > maxText {
		text = unknown
	}
	if old, was := s.vars[name]; !was {
		s.order = append(s.order, name)
	} else if old.text == text {
		return // the place is where it got that text first
	}
	s.vars[name] = value{text, s.here()}
}

// source follows a file of the tree, and reports whether it is there.
func (s *shell) source(name string) truth {
	if strings.Contains(name, unknown) || !s.files.isFile(name) {
		return no
	}
	text, err := s.files.read(name)
	if err != nil {
		s.broken(Place{File: name}, err.Error())
		return no
	}
	file, line := s.file, s.line
	defer func() { s.file, s.line = file, line }()
	s.file = name
	return s.follow(text)
}

// follow goes through the text of a script.
func (s *shell) follow(text string) truth {
	if s.calls++; s.calls > maxCalls {
		s.calls--
		return perhaps
	}
	defer func() { s.calls-- }()
	if i := strings.IndexByte(text, 0); i >= 0 {
		s.broken(Place{s.file, 1 + strings.Count(text[:i], "\n")}, "it has a NUL, so it is no text")
		text = text[:i]
	}
	nodes, err := parseShell(text)
	status := s.run(nodes)
	if err != nil && s.stop == "" {
		s.broken(Place{s.file, err.line}, err.message)
	}
	if s.stop == "return" {
		s.stop = ""
	}
	return status
}

func (s *shell) run(n node) truth {
	if s.stop != "" {
		return perhaps
	}
	if s.steps++; s.steps > maxSteps {
		s.stop = "exit"
		return perhaps
	}
	switch n := n.(type) {
	case group:
		s.status = yes
		for _, one := range n {
			s.status = s.run(one)
		}
		return s.status
	case *andOr:
		return s.andOr(n)
	case *branch:
		if s.run(n.test) == yes {
			return s.run(n.body)
		}
		if n.rest != nil {
			return s.run(n.rest)
		}
		return yes
	case *choice:
		return s.choose(n)
	case *function:
		s.funcs[n.name] = n.body
		return yes
	case simple:
		return s.simple(n)
	}
	return perhaps
}

func (s *shell) andOr(n *andOr) truth {
	left := s.run(n.left)
	switch {
	case n.op == "!":
		return left.not()
	case n.op == "&&" && left == yes, n.op == "||" && left == no:
		return s.run(n.right)
	}
	return left
}

func (s *shell) choose(n *choice) truth {
	subject := s.expand(n.subject)
	if strings.Contains(subject, unknown) {
		return perhaps
	}
	for _, a := range n.arms {
		for _, pattern := range a.patterns {
			pattern := s.expand(pattern)
			if !s.spend(len(pattern) * len(subject)) {
				return perhaps
			}
			if matches(pattern, subject) {
				return s.run(a.body)
			}
		}
	}
	return yes
}

// matches reports whether a pattern of the shell fits the whole text.
func matches(pattern, text string) bool {
	level := strings.NewReplacer("/", "\x01") // which * does not stop at
	ok, err := path.Match(level.Replace(pattern), level.Replace(text))
	return ok && err == nil
}

var assignment = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(\+?)=`)

// assign does what a word says, if it sets a variable.
func (s *shell) assign(t token) bool {
	m := assignment.FindStringSubmatch(t.word)
	if m == nil {
		return false
	}
	text := s.expand(token{word: t.word[len(m[0]):], line: t.line})
	if m[2] == "+" {
		text = s.get(m[1]) + text
	}
	s.set(m[1], text)
	return true
}

func (s *shell) simple(words simple) truth {
	if len(words) == 0 {
		return yes
	}
	s.line = words[0].line
	first := slices.IndexFunc(words, func(t token) bool { return !assignment.MatchString(t.word) })
	if first < 0 {
		for _, t := range words {
			s.assign(t)
		}
		return yes
	}
	words = words[first:] // what stands before is for that command only
	switch words[0].word {
	case "export", "readonly", "local", "declare", "typeset":
		for _, t := range words[1:] {
			s.assign(t)
		}
		return yes
	}
	var expanded []string
	for _, t := range words {
		expanded = append(expanded, s.fields(t)...)
		if s.stop != "" { // that was too much
			return perhaps
		}
	}
	if len(expanded) == 0 {
		return yes
	}
	return s.command(expanded)
}

func (s *shell) command(words []string) truth {
	name, args := words[0], words[1:]
	if body, ok := s.funcs[name]; ok && s.own[name] == nil {
		return s.callFunction(body, words)
	}
	if own := s.own[name]; own != nil {
		return own(s, args)
	}
	switch name {
	case ":", "true", "echo", "printf":
		return yes
	case "false":
		return no
	case "[", "[[", "test":
		return s.test(words)
	case ".", "source":
		if len(args) == 0 {
			return no
		}
		return s.source(args[0])
	case "eval":
		file, line := s.file, s.line
		text := strings.Join(args, " ")
		if strings.Contains(text, unknown) || !s.spend(line+len(text)) {
			return perhaps
		}
		status := s.follow(strings.Repeat("\n", min(line, maxSteps)-1) + text) // its lines are those of the eval
		s.file, s.line = file, line
		return status
	case "unset":
		for _, a := range args {
			delete(s.vars, a)
		}
		return yes
	case "set":
		if len(args) > 0 && args[0] == "--" {
			s.args = append(s.args[:1:1], args[1:]...)
		}
		return yes
	case "shift":
		if len(s.args) > 1 {
			s.args = append(s.args[:1:1], s.args[2:]...)
		}
		return yes
	case "exit", "return":
		s.stop = name
		return perhaps
	}
	s.ran = append(s.ran, call{words, s.here()})
	return perhaps
}

func (s *shell) callFunction(body node, words []string) truth {
	if s.calls++; s.calls > maxCalls {
		s.calls--
		return perhaps
	}
	args, line := s.args, s.line
	s.args = append([]string{args[0]}, words[1:]...)
	status := s.run(body)
	s.args, s.line = args, line
	s.calls--
	if s.stop == "return" {
		s.stop = ""
	}
	return status
}
