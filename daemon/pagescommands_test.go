package daemon

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var (
	// A call of milterkit in a block of code, at the beginning of a line or behind a pipe.
	calledInBlock = regexp.MustCompile(`(?m)(?:^|[|&] *)(?:[$#] )?(?:sudo )?(?:go tool |[./a-z]*/|my)?milterkit +([a-z-]+(?: [^|;&\n]*)?$|[a-z-]+ [^|;&\n]*)`)
	// One in a line of text.
	calledInText = regexp.MustCompile("`(?:sudo )?(?:bin/|my)?milterkit\\s+([a-z-][^`]*)`")
	lonelyFlag   = regexp.MustCompile("`(--[a-z-]+)[^`]*`")
	shellWord    = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s]+`)
)

// Every command line that a page shows is one that milterkit takes: the command, its
// flags and their values.
func TestCommandsOfPagesExist(t *testing.T) {
	count := 0
	for _, p := range pages(t) {
		var lines []string
		for _, b := range p.blocks {
			for _, m := range calledInBlock.FindAllStringSubmatch(strings.ReplaceAll(b.text, "\\\n", " "), -1) {
				lines = append(lines, m[1])
			}
		}
		for _, m := range calledInText.FindAllStringSubmatch(p.text, -1) {
			lines = append(lines, m[1])
		}
		for _, line := range lines {
			count++
			if err := takesLine(line); err != nil {
				t.Errorf("%s: milterkit %s: %v", p.path, line, err)
			}
		}
	}
	if count < 40 {
		t.Errorf("there are %d command lines", count)
	}
}

// takesLine parses what stands behind milterkit, up to a comment or a redirection.
func takesLine(line string) error {
	line, _, _ = strings.Cut(line+" ", " #")
	line, _, _ = strings.Cut(line, " >")
	line, _, _ = strings.Cut(line, " <")
	words := shellWord.FindAllString(line, -1)
	words = slices.DeleteFunc(words, func(w string) bool { return w == "…" || w == "..." })
	for i, w := range words {
		words[i] = strings.Trim(w, `'"[]`)
	}
	root := newRootCommand("milterkit", natives{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	command, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	command.InitDefaultHelpFlag()
	command.InitDefaultVersionFlag()
	return command.ParseFlags(rest)
}

// A flag that a page names by itself is one of milterkit's, or of a program that the
// page is about.
func TestFlagsOfPagesExist(t *testing.T) {
	others := []string{"--config-file", "--show-config", "--socket", "--socketpath"} // clamav-milter's, milter-manager's, filters', spamd's
	known := map[string]bool{"--help": true, "--version": true}
	for _, c := range commandsOf(newRootCommand("milterkit", natives{})) {
		c.Flags().VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
	}
	for _, p := range pages(t) {
		for _, m := range lonelyFlag.FindAllStringSubmatch(p.text, -1) {
			if !known[m[1]] && !slices.Contains(others, m[1]) {
				t.Errorf("%s: no command has the flag %s", p.path, m[1])
			}
		}
	}
}
