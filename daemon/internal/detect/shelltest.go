package detect

import (
	"io/fs"
	"strconv"
	"strings"
)

// test is the command of that name, also as [ … ].
func (s *shell) test(words []string) truth {
	args := words[1:]
	if words[0] != "test" {
		if len(args) == 0 || args[len(args)-1] != map[string]string{"[": "]", "[[": "]]"}[words[0]] {
			return perhaps
		}
		args = args[:len(args)-1]
	}
	t := &tester{shell: s, args: args}
	result := t.or()
	if len(t.args) > 0 { // not understood
		return perhaps
	}
	return result
}

// A tester reads the words of a test from left to right.
type tester struct {
	shell *shell
	args  []string
	depth int
}

func (t *tester) peek(n int) string {
	if n < len(t.args) {
		return t.args[n]
	}
	return ""
}

func (t *tester) or() truth {
	left := t.and()
	for t.peek(0) == "-o" || t.peek(0) == "||" {
		t.args = t.args[1:]
		right := t.and()
		switch {
		case left == yes || right == yes:
			left = yes
		case left == perhaps || right == perhaps:
			left = perhaps
		}
	}
	return left
}

func (t *tester) and() truth {
	left := t.not()
	for t.peek(0) == "-a" || t.peek(0) == "&&" {
		t.args = t.args[1:]
		right := t.not()
		switch {
		case left == no || right == no:
			left = no
		case left == perhaps || right == perhaps:
			left = perhaps
		}
	}
	return left
}

func (t *tester) not() truth {
	if t.depth++; t.depth > maxNested {
		return perhaps
	}
	defer func() { t.depth-- }()
	if t.peek(0) == "!" && len(t.args) > 1 {
		t.args = t.args[1:]
		return t.not().not()
	}
	return t.one()
}

func (t *tester) one() truth {
	a := t.args
	switch {
	case len(a) == 0:
		return no // [ ] is false
	case len(a) >= 3 && binary(a[1]):
		t.args = a[3:]
		return compare(a[0], a[1], a[2])
	case len(a) >= 2 && len(a[0]) == 2 && a[0][0] == '-' && a[1] != "-a" && a[1] != "-o":
		t.args = a[2:]
		return t.shell.about(a[0], a[1])
	}
	t.args = a[1:]
	return about(a[0])
}

func about(text string) truth {
	if strings.Contains(text, unknown) {
		return perhaps
	}
	return truthOf(text != "")
}

func binary(op string) bool {
	switch op {
	case "=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge":
		return true
	}
	return false
}

func compare(a, op, b string) truth {
	if strings.Contains(a+b, unknown) {
		return perhaps
	}
	switch op {
	case "=", "==":
		return truthOf(a == b)
	case "!=":
		return truthOf(a != b)
	}
	x, err := strconv.Atoi(a)
	y, other := strconv.Atoi(b)
	if err != nil || other != nil {
		return perhaps
	}
	return truthOf(map[string]bool{"-eq": x == y, "-ne": x != y, "-lt": x < y, "-le": x <= y, "-gt": x > y, "-ge": x >= y}[op])
}

// about is a test of one thing.
func (s *shell) about(op, what string) truth {
	if strings.Contains(what, unknown) {
		return perhaps
	}
	switch op {
	case "-n":
		return truthOf(what != "")
	case "-z":
		return truthOf(what == "")
	}
	fi := s.files.stat(what)
	switch op {
	case "-e", "-r", "-w":
		return truthOf(what != "" && fi != nil)
	case "-f":
		return truthOf(fi != nil && fi.Mode().IsRegular())
	case "-d":
		return truthOf(fi != nil && fi.IsDir())
	case "-x":
		return truthOf(fi != nil && fi.Mode()&0o111 != 0)
	case "-s":
		return truthOf(fi != nil && fi.Size() > 0)
	case "-S":
		return truthOf(fi != nil && fi.Mode()&fs.ModeSocket != 0)
	}
	return perhaps
}
