package daemon

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/manpage"
)

// Every command has a --help, a manual page and completions, and they agree: on its
// name, its short text, the commands below it and its flags with their meanings.
func TestHelpManualAndCompletionAgree(t *testing.T) {
	dir := t.TempDir()
	if status, _, errs := end(t, "man", dir); status != 0 {
		t.Fatal(errs)
	}
	pages, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := newNatives(builtins())
	if err != nil {
		t.Fatal(err)
	}
	commands := manpage.Commands(newRootCommand("milterkit", all))
	if len(pages) != len(commands)+1 || len(pages) < 15 { // and that of the configuration
		t.Errorf("%d commands have %d pages", len(commands), len(pages))
	}
	flags := 0
	for _, c := range commands {
		page := printed(t, filepath.Join(dir, manpage.Name(c)+"."+manpage.Section))
		c.InitDefaultHelpFlag()
		path := strings.Fields(c.CommandPath())[1:]
		_, help, _ := end(t, append(slices.Clone(path), "--help")...)
		holds(t, c, "help", help, c.Long)
		holds(t, c, "manual", page, c.Short, c.Long, c.Example)
		below := completions(t, append(slices.Clone(path), "")...)
		for _, sub := range manpage.Commands(c)[1:] {
			if sub.Parent() == c {
				holds(t, sub, "manual of "+c.Name(), page, sub.Short)
				holds(t, sub, "help of "+c.Name(), help, sub.Name()+" "+sub.Short)
				holds(t, sub, "completion", below, sub.Name()+" "+sub.Short)
			}
		}
		known := completions(t, append(slices.Clone(path), "--")...)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			flags++
			_, usage := pflag.UnquoteUsage(f)
			holds(t, c, "help", help, "--"+f.Name, usage)
			holds(t, c, "manual", page, "--"+f.Name, usage)
			holds(t, c, "completion", known, "--"+f.Name+" "+f.Usage)
		})
		if n := len(regexp.MustCompile(`(?m)^ +(-., )?--[a-z]`).FindAllString(help, -1)); n != strings.Count(known, "--") {
			t.Errorf("%s: --help has %d flags, the completion %d", c.CommandPath(), n, strings.Count(known, "--"))
		}
	}
	t.Logf("%d commands, %d flags", len(commands), flags)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if status, script, errs := end(t, "completion", shell); status != 0 || !strings.Contains(script, "__complete") {
			t.Errorf("%s: %d, %s", shell, status, errs)
		}
	}
}

// The manual page of the configuration file has every key, with what it means.
func TestManualOfTheConfigurationHasEveryKey(t *testing.T) {
	dir := t.TempDir()
	if status, _, errs := end(t, "man", dir); status != 0 {
		t.Fatal(errs)
	}
	page := printed(t, filepath.Join(dir, manpage.ConfigurationPage))
	words := strings.NewReplacer("`", "").Replace
	for _, s := range config.Docs() {
		for _, d := range s.Keys {
			if !strings.Contains(page, "\n"+d.Key+" ("+words(d.Default)+")\n") {
				t.Errorf("milterkit.toml(5) has no %s (%s)", d.Key, d.Default)
			}
		}
	}
	if strings.Contains(page, "](") || strings.Contains(page, "`") {
		t.Errorf("milterkit.toml(5) has Markdown in it:\n%s", page)
	}
}

// printed is a page as man prints it, near enough.
func printed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile(`(?m)^\.(SH|TP|PP|nf|fi|I|B|BR|TH) ?|\\f.|^\\&`).ReplaceAllString(string(text), "")
	return strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\(ga`, "`", `\(ha`, "^", `\(ti`, "~", `\e`, `\`).Replace(page)
}

// completions are the lines that a shell is given to choose from.
func completions(t *testing.T, words ...string) string {
	t.Helper()
	status, out, errs := end(t, append([]string{"__complete"}, words...)...)
	if status != 0 {
		t.Fatalf("%v: %s", words, errs)
	}
	return out
}

// holds sees to it that a text has the parts, however it is broken into lines.
func holds(t *testing.T, c *cobra.Command, where, text string, parts ...string) {
	t.Helper()
	text = strings.Join(strings.Fields(text), " ")
	for _, part := range parts {
		if part = strings.Join(strings.Fields(part), " "); !strings.Contains(text, part) {
			t.Errorf("%s: the %s has no %q", c.CommandPath(), where, part)
		}
	}
}

// A page is good troff whatever its texts have in them.
func TestAManualPageOfOddTexts(t *testing.T) {
	root := &cobra.Command{Use: "m", Short: "a-b's", Long: ".hidden\n'quoted\n\n  set in \\n\n\nlast", Run: func(*cobra.Command, []string) {}}
	var page bytes.Buffer
	if err := manpage.Write(&page, root, "2026-01-02", "m v1"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".TH M 8 \"2026-01-02\" \"m v1\" \"m\"\n", `m \- a\-b\(aqs`, "\\&.hidden\n\\(aqquoted\n.PP\n.nf\n  set in \\en\n.fi\n.PP\nlast\n"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
	if err := manpage.Write(failing{}, root, "", ""); err == nil {
		t.Error("a full disk is no error")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// The day of SOURCE_DATE_EPOCH is that of the pages.
func TestManualPagesAreReproducible(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	if day := made(); day != "1970-01-02" {
		t.Error(day)
	}
}
