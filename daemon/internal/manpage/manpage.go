// Package manpage writes the manual page of a command, made of what its --help
// prints.
package manpage

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Section is the part of the manual that the pages are in: programs for the
// administrator.
const Section = "8"

// Name is what the page of a command is called: milterkit-greylist-list.
func Name(c *cobra.Command) string {
	return strings.ReplaceAll(c.CommandPath(), " ", "-")
}

// Commands returns c and the commands below it that have a page: those that --help
// shows, but for cobra's own.
func Commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" {
			all = append(all, Commands(sub)...)
		}
	}
	return all
}

// Write writes the page of a command. Date is when the program was made, and
// version which it is.
func Write(w io.Writer, c *cobra.Command, date, version string) error {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	p := &page{}
	p.line(".TH %s %s %q %q %q", strings.ToUpper(Name(c)), Section, date, version, c.Root().Name())
	p.section("NAME")
	p.line(`%s \- %s`, escape(Name(c)), escape(c.Short))
	p.section("SYNOPSIS")
	p.synopsis(c)
	p.section("DESCRIPTION")
	p.prose(c.Long)
	p.commands(c)
	p.section("OPTIONS")
	c.Flags().VisitAll(p.flag)
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(c.Example)
	}
	if file := c.Flags().Lookup("config"); file != nil {
		p.section("FILES")
		p.line(".TP\n.I %s\nThe configuration.", escape(file.DefValue))
	}
	p.also(c)
	_, err := io.WriteString(w, p.String())
	return err
}

// A page is one that is being written, in the language of man(7).
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) section(name string) { p.line(".SH %s", name) }

func (p *page) synopsis(c *cobra.Command) {
	usage := strings.TrimPrefix(c.UseLine(), c.CommandPath())
	if !c.Runnable() {
		usage = " COMMAND"
	}
	p.line(".B %s\n%s", escape(c.CommandPath()), escape(strings.TrimSpace(usage)))
}

// prose writes text as the terminal shows it: paragraphs, and lines that are set in.
func (p *page) prose(text string) {
	for i, part := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		if strings.HasPrefix(part, " ") {
			p.verbatim(part)
		} else {
			p.line("%s", escape(part))
		}
	}
}

func (p *page) verbatim(text string) {
	p.line(".nf")
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		p.line("%s", escape(strings.TrimRight(line, "\n")))
	}
	p.line(".fi")
}

func (p *page) commands(c *cobra.Command) {
	for i, sub := range Commands(c)[1:] {
		if i == 0 {
			p.section("COMMANDS")
		}
		if sub.Parent() == c {
			p.line(".TP\n.BR %s (%s)\n%s", escape(Name(sub)), Section, escape(sub.Short))
		}
	}
}

// flag writes what --help says of a flag.
func (p *page) flag(f *pflag.Flag) {
	if f.Hidden {
		return
	}
	name := `\fB` + escape("--"+f.Name) + `\fR`
	if f.Shorthand != "" {
		name = `\fB` + escape("-"+f.Shorthand) + `\fR, ` + name
	}
	value, usage := pflag.UnquoteUsage(f)
	if value != "" {
		name += ` \fI` + escape(value) + `\fR`
	}
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
	default:
		usage += " (default " + f.DefValue + ")"
	}
	p.line(".TP\n%s\n%s", name, escape(usage))
}

// also names the pages beside this one.
func (p *page) also(c *cobra.Command) {
	var pages []string
	if c.HasParent() {
		pages = append(pages, reference(c.Parent()))
		for _, sibling := range Commands(c.Parent())[1:] {
			if sibling != c && sibling.Parent() == c.Parent() {
				pages = append(pages, reference(sibling))
			}
		}
	}
	if len(pages) > 0 {
		p.section("SEE ALSO")
		p.line("%s", strings.Join(pages, " ,\n"))
	}
}

func reference(c *cobra.Command) string {
	return fmt.Sprintf(".BR %s (%s)", escape(Name(c)), Section)
}

// escape has troff print text as it stands. A line that begins with a dot or a quote
// would be a request.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
