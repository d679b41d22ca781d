package detect

import (
	"strings"
	"testing"
	"time"
)

// follow runs a script in a tree and returns what it found wrong.
func follow(t testing.TB, root, script string) (*shell, []string) {
	var wrong []string
	sh := newShell(tree{root}, func(at Place, message string) { wrong = append(wrong, at.String()+": "+message) })
	sh.file = "/s"
	sh.args = []string{"/s", "start", "second"}
	sh.follow(script)
	return sh, wrong
}

// A script's variables are what a shell would make of them.
func TestAssignments(t *testing.T) {
	t.Parallel()
	root := unpack(t, "-- /etc/default/x --\nSOURCED=yes\nA=changed # here\n-- /bin/prog +x --\n")
	for _, c := range []struct{ name, script, want string }{
		{"plain", `R=a`, "a"},
		{"single quotes keep everything", `R='$x \n "'`, `$x \n "`},
		{"double quotes expand", `x=1; R="a $x ${x}b"`, "a 1 1b"},
		{"a backslash in double quotes", `R="\$x \" \\ \a"`, `$x " \ \a`},
		{"pieces are joined", `x=b; R=a"$x"'c'd`, "abcd"},
		{"a comment needs a blank before it", "R=a#b # c", "a#b"},
		{"lines go on after a backslash", "R=\"a \\\nb\"", "a b"},
		{"a quote goes over lines", "R='a\nb'", "a\nb"},
		{"a default where nothing is set", `R=${x:-d}`, "d"},
		{"no default where something is", `x=1; R=${x:-d}`, "1"},
		{"an empty one is set, without the colon", `x=; R="${x-d}|${x:-e}"`, "|e"},
		{"a default that stays", `: ${x="d"}; : ${x="e"}; R=$x`, "d"},
		{"a default that has a default", `y=z; R=${x:-${y:-w}}`, "z"},
		{"one that is there for another", `x=1; R="${x:+set}${y:+set}"`, "set"},
		{"a prefix is cut", `x=local:/a/b; R=${x##local:}`, "/a/b"},
		{"the shortest and the longest", `x=a/b/c; R="${x#*/} ${x##*/} ${x%/*} ${x%%/*}"`, "b/c c a/b a"},
		{"more is added", `R=a; R="$R b"; R+=c`, "a bc"},
		{"several in a line", `A=1 R=2`, "2"},
		{"one that is for a command only", `R=1; R=2 command`, "1"},
		{"exported", `export R=a`, "a"},
		{"arguments", `R="$0 $1 ${2} $3"`, "/s start second "},
		{"what a program prints is not known", `R=a$(date)`, "a" + unknown},
		{"nor in backquotes", "R=`date`", unknown},
		{"eval goes over it twice", `p=in; s_in=x; eval R="\${s_${p}:-\"\"}"`, "x"},
		{"a file is read", `. /etc/default/x; R=$SOURCED$A`, "yeschanged"},
		{"a file that is not there is none", `[ -r /etc/none ] && . /etc/none; R=a`, "a"},
		{"if", `if [ -x /bin/prog ]; then R=a; else R=b; fi`, "a"},
		{"else", `if [ -f /bin/none ]; then R=a; elif false; then R=b; else R=c; fi`, "c"},
		{"what is not known counts as not met", `R=a; if grep -q x /y; then R=b; fi`, "a"},
		{"and neither does its opposite", `R=a; if ! grep -q x /y; then R=b; fi`, "a"},
		{"or", `test -x /bin/none || R=a`, "a"},
		{"not or, where it is not known", `R=a; grep x || R=b`, "a"},
		{"and, of one test", `if [ "x$1" != "x" -a -z "$3" ]; then R=a; fi`, "a"},
		{"brackets of bash", `if [[ $1 == start && -n $2 ]]; then R=a; fi`, "a"},
		{"numbers", `if [ 2 -gt 1 ]; then R=a; fi`, "a"},
		{"case", `case "$1" in stop|restart) R=a;; st*) R=b;; *) R=c;; esac`, "b"},
		{"functions", `f() { R=$1; return 0; R=no; }; f x; x=$R`, "x"},
		{"functions in another form", "function f\n{\nR=a\n}\nf", "a"},
		{"nothing after exit", `R=a; [ -x /bin/none ] || exit 0; R=b`, "a"},
		{"loops are not looked into", "R=a\nfor i in 1 2; do R=$i; done\nwhile true; do R=b; done", "a"},
		{"a shell of its own changes nothing", `R=a; (R=b); R2=x | R=c`, "a"},
		{"texts within are no script", "cat <<END >/dev/null\nR=b \"\nEND\nR=a", "a"},
		{"redirections are no words", `R=a; echo x >/dev/null 2>&1; [ a = a ] 2>/dev/null && R=b`, "b"},
		{"unset", `R=a; unset R`, ""},
		{"no endless growth", "R=xxxxxxxxxxxxxxxx\n" + strings.Repeat("R=$R$R\n", 11), unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sh, wrong := follow(t, root, c.script)
			if got := sh.get("R"); got != c.want || len(wrong) > 0 {
				t.Errorf("%s\ngot %q, want %q; wrong: %q", c.script, got, c.want, wrong)
			}
		})
	}
}

// Words are split where a shell splits them.
func TestWords(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`run a "b c" 'd e'`:                 `run|a|b c|d e`,
		`o="-p x  -y"; run $o "$o"`:         `run|-p|x|-y|-p x  -y`,
		`run $none "" x`:                    `run||x`,
		`o=" a "; run x${o}y`:               `run|x|a|y`,
		`o="a b"; run x${o}y"c d"`:          `run|xa|byc d`,
		"run a \\\n  b":                     `run|a|b`,
		`run a >/dev/null 2>&1 b &`:         `run|a|b`,
		`[ -n "$1" ] && run -p ${x:-"a b"}`: `run|-p|a|b`,
	} {
		sh, wrong := follow(t, t.TempDir(), script)
		if len(sh.ran) != 1 || strings.Join(sh.ran[0].words, "|") != want || len(wrong) > 0 {
			t.Errorf("%s\ngot %v, want %s; wrong %q", script, sh.ran, want, wrong)
		}
	}
}

// A mistake is told with its line, and what stands before it counts.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"R=a\nx=\"no end\n":           "/s:2: what begins here with a quote or a bracket has no end",
		"R=a\nif true; then\nx=1\n":   "/s:4: the script ends before a fi",
		"R=a\n)\n":                    "/s:2: unexpected )",
		"R=a\nfi\n":                   "/s:2: unexpected fi",
		"R=a\ncase x in\na) b=1\n":    "/s:4: the script ends too early",
		"R=a\nx=1\n\x00":              "/s:3: it has a NUL, so it is no text",
		"R=a\nif true; fi; then x; }": "/s:2: unexpected fi",
	} {
		sh, wrong := follow(t, t.TempDir(), script)
		if got := strings.Join(wrong, "\n"); got != want || sh.get("R") != "a" {
			t.Errorf("%q\ngot  %s\nwant %s\nR=%q", script, got, want, sh.get("R"))
		}
	}
}

// No script keeps detection for long.
func TestEndlessScripts(t *testing.T) {
	t.Parallel()
	root := unpack(t, "-- /me --\n. /me\n. /me\n")
	for _, script := range []string{
		"f() { f; f; }; f",
		"x='eval \"$x\"; eval \"$x\"'; eval \"$x\"",
		". /me",
		strings.Repeat("if ", 10000),
		strings.Repeat("{ ", 10000),
		strings.Repeat("${x:-", 10000),
		"x=" + strings.Repeat("$(", 10000),
		"[ " + strings.Repeat("! ", 10000) + "a ]",
		strings.Repeat("if a; then b; el", 5000),
		strings.Repeat("f() ", 10000),
	} {
		start := time.Now()
		follow(t, root, script)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%.20s took %v", script, took)
		}
	}
}

// What a script makes of little is bounded, in bytes and in time, and that it was left
// there is told.
func TestScriptsThatGrow(t *testing.T) {
	t.Parallel()
	long := "R=a; x=" + strings.Repeat("a", 4000) + "\n"
	for _, script := range []string{
		long + "f " + strings.Repeat("$x ", 100000),
		long + "f() { g " + strings.Repeat("$x ", 1000) + "; }\n" + strings.Repeat("f\n", 1000),
		long + strings.Repeat("y=${x%%*"+strings.Repeat("a", 2000)+"b}\n", 100),
		long + strings.Repeat("case $x in *"+strings.Repeat("a", 2000)+"b*) ;; esac\n", 200),
	} {
		sh, wrong := follow(t, t.TempDir(), script+"\nR=b\n")
		size := 0
		for _, c := range sh.ran {
			size += len(strings.Join(c.words, ""))
		}
		if size > maxWork || sh.get("R") != "a" || len(wrong) != 1 || !strings.Contains(wrong[0], "too much to follow") {
			t.Errorf("%.30q: %d bytes, R=%q, %q", script[len(long):], size, sh.get("R"), wrong)
		}
	}
}

// A command line, and the names of rspamd's settings, do not grow without bound.
func TestConfigurationsThatGrow(t *testing.T) {
	t.Parallel()
	long, size := strings.Repeat("a", 100000), 0
	for _, word := range commandLine("/bin/x "+strings.Repeat("$A ${A} ", 1000), func(string) string { return long }) {
		size += len(word)
	}
	if size > maxLine+5000 {
		t.Errorf("a command line of %d bytes", size)
	}
	var wrong []string
	u := &ucl{broken: func(_ Place, message string) { wrong = append(wrong, message) }}
	u.follow("/f", "a b\n"+long+" { "+strings.Repeat("c d;", 1000)+" }", "", 0)
	if len(u.settings) != 1 || len(wrong) != 1 || !strings.Contains(wrong[0], "too long") {
		t.Errorf("%d settings, %q", len(u.settings), wrong)
	}
}

func FuzzShell(f *testing.F) {
	for _, s := range []string{"A=1\n", "a() { b; }; a", "case $1 in start) x;; esac", `: ${x:="a $y"}`, "if [ -n \"$1\" -a ! -f /x ]; then\n. /y\nelif z; then q\nelse w\nfi",
		"cat <<E\nx\nE\n", "x=`a`;y=$(b 'c)')", `eval x="\${a_${b}_c:-}"`, "for i in a; do b; done; while c; do d; done", "a && b || ! c | d &", "x=${a##*/}${b%%:*}", "[[ a == b || -z $c ]]"} {
		f.Add(s)
	}
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, script string) {
		sh, wrong := follow(t, root, script)
		for _, w := range wrong {
			if strings.Contains(w, ":0:") {
				t.Errorf("no line: %s", w)
			}
		}
		for name, v := range sh.vars {
			if len(v.text) > maxText {
				t.Errorf("%s has %d bytes", name, len(v.text))
			}
		}
	})
}

func FuzzUnit(f *testing.F) {
	for _, s := range []string{"[Unit]\nA=b\n", "[Service]\nExecStart=/bin/x \\\n# c\n -p ${Y} $Z\n", "[X", "x", "A=1", "[Service]\nEnvironment=\"A=b c\" 'D=e'\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, ignored, err := parseUnit("/u", text)
		rows := strings.Count(text, "\n") + 1
		for _, l := range lines {
			if l.at.Line < 1 || l.at.Line > rows {
				t.Errorf("%+v", l)
			}
		}
		for _, e := range append(ignored, err) {
			if e != nil && (e.line < 1 || e.line > rows) {
				t.Error(e)
			}
		}
		u := &unit{name: "a@b.service", lines: lines}
		for _, l := range u.all("Service", "ExecStart") {
			commandLine(u.specifiers(l.text), func(n string) string { return "x " + n })
		}
		vars, _ := parseEnvironment("/e", text)
		for _, v := range vars {
			if v.name == "" || v.at.Line > rows {
				t.Errorf("%+v", v)
			}
		}
		readSettings("/c", text)
	})
}

func FuzzUCL(f *testing.F) {
	for _, s := range []string{`worker "a" { b = c; d: "e"; .include "f" }`, "a [ b, c ]", "x <<EOD\ny\nEOD\n", "/* a", "a = { b = [ { c = d } ] }", `.include(try=true; priority=10) "$CONFDIR/x"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reads := 0
		u := &ucl{broken: func(Place, string) {}, vars: map[string]string{"CONFDIR": "/c"}}
		u.read = func(string) (string, bool) { reads++; return text, reads < 3 }
		u.follow("/f", text, "", 0)
		for _, s := range u.settings {
			rspamdSocket(s.text)
			socketOf(s.text)
		}
	})
}
