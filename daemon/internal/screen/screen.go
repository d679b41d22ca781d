// Package screen prints how the daemon is, for a terminal: what the status page shows,
// on one screen.
package screen

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// Options say how it is printed.
type Options struct {
	Width  int  // in columns; 0: 80
	Height int  // in lines, what is beyond is left out; 0: no bound
	Color  bool // with colours
	Plain  bool // ASCII only, but for what mail has
}

// words are the outcomes as they are printed.
var words = map[string]string{
	"accept": "accepted", "quarantine": "quarantined", "discard": "discarded", "tempfail": "deferred", "reject": "rejected", "aborted": "aborted",
}

// The colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	faint  = "2"
)

// least is the width that is not gone below.
const least = 60

type printer struct {
	Options
	lines []string
}

// Write prints a status.
func Write(w io.Writer, s *statuspage.Status, o Options) error {
	if o.Width == 0 {
		o.Width = 80
	}
	o.Width = max(o.Width, least)
	p := &printer{Options: o}
	p.head(s)
	p.counts(s)
	p.milters(s)
	p.refused(s)
	if p.Height > 0 && len(p.lines) > p.Height {
		p.lines = p.lines[:p.Height]
	}
	_, err := io.WriteString(w, strings.Join(p.lines, "\n")+"\n")
	return err
}

func (p *printer) line(text string) { p.lines = append(p.lines, strings.TrimRight(text, " ")) }

// color is a text in a colour.
func (p *printer) color(code, text string) string {
	if !p.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) head(s *statuspage.Status) {
	p.line(p.color(bold, s.Program) + " on " + printable(s.Host) + ", running for " + age(s.Now.Sub(s.Started)) + ", " + printable(s.Version))
	p.line(fmt.Sprintf("configuration: generation %d, loaded %s", s.Generation, clock(s.Loaded, s.Now)))
	if !s.Ready {
		p.line(p.color(yellow, "it is ending, and takes no more connections"))
	}
	if r := s.Refused; r != nil {
		p.line(p.color(red, "not loaded again at "+clock(r.At, s.Now)+":"))
		for line := range strings.Lines(r.Error) {
			p.line(p.color(red, "  "+p.cut(line, p.Width-2)))
		}
	}
	p.line("")
}

// counts is the table of outcomes, with sessions and memory beside it.
func (p *printer) counts(s *statuspage.Status) {
	limit := func(n string, most string, has bool) string {
		if has {
			return n + " of " + most
		}
		return n
	}
	beside := []string{
		"sessions " + limit(number(s.Sessions.Now), number(s.Sessions.Max), s.Sessions.Max > 0),
		fmt.Sprintf("         at most %d in the hour", s.Hour.Peak),
		"memory   " + limit(bytes(s.Memory.Messages), bytes(s.Memory.MaxMessages), s.Memory.MaxMessages > 0),
		"         " + bytes(s.Memory.Process) + " in all",
	}
	if s.Sessions.Waiting > 0 {
		beside[1] = p.color(yellow, fmt.Sprintf("         %d wait for a place", s.Sessions.Waiting))
	}
	if s.Unsaved != "" {
		beside = append(beside, p.color(faint, "         not kept over restarts"))
	}
	p.line(p.color(faint, fmt.Sprintf("%-12s%9s%9s%11s", "MESSAGES", "MINUTE", "HOUR", "DAY")))
	for i, o := range history.Outcomes {
		text := fmt.Sprintf("%-12s%9s%9s%11s", words[o], number(s.Minute.Messages[o]), number(s.Hour.Messages[o]), number(s.Day.Messages[o]))
		if i < len(beside) && p.Width >= 78 {
			text += "   " + beside[i]
		}
		p.line(text)
	}
	if p.Width < 78 {
		p.lines = append(p.lines, beside...)
	}
	p.line("")
}

func (p *printer) milters(s *statuspage.Status) {
	const figures = 9 + 9 + 8 + 9 + 9 + 2 // with the state, and a gap
	name := 6
	for i := range s.Milters {
		name = max(name, width(s.Milters[i].Name))
	}
	name = min(name+2, p.Width-figures)
	bar := min(p.Width-name-figures, 30)
	p.line(p.color(faint, fmt.Sprintf("%-*s%-9s%9s%8s%9s%9s  %s", name, "MILTER", "STATE", "MESSAGES", "FAILED", "P50", "P95", p.cut("P95, last "+s.Series.Span, bar))))
	longest := 0.0
	parts := map[string]history.Totals{}
	for _, m := range s.Series.Milters {
		parts[m.Name] = m.Total
	}
	for _, m := range s.Milters {
		if t := parts[m.Name]; t.P95 != nil {
			longest = max(longest, *t.P95)
		}
	}
	for i := range s.Milters {
		m := &s.Milters[i]
		t := parts[m.Name]
		failed := fmt.Sprintf("%8s", number(t.Failures))
		if t.Failures > 0 {
			failed = p.color(red, failed)
		}
		p.line(pad(p.cut(m.Name, name-1), name) + p.color(stateColors[m.State], fmt.Sprintf("%-9s", m.State)) + fmt.Sprintf("%9s", number(t.Messages)) + failed +
			fmt.Sprintf("%9s%9s  ", took(t.P50), took(t.P95)) + p.color(faint, p.bar(t.P95, longest, bar)))
		if m.State == statuspage.StateDown || m.State == statuspage.StateFailing {
			since := ""
			if m.Since != nil {
				since = "since " + clock(*m.Since, s.Now) + ": "
			}
			p.line(p.color(stateColors[m.State], "  "+p.cut(since+reason(m.Why), p.Width-2)))
		}
	}
	p.line("")
}

// reason is why a milter is down, without the words of the system before it: a line has
// room for what follows them then.
func reason(why string) string {
	rest, dialled := strings.CutPrefix(why, "dial ")
	at, rest, connect := strings.Cut(rest, ": connect: ")
	if _, at, _ = strings.Cut(at, " "); dialled && connect {
		return at + ": " + rest
	}
	return why
}

var stateColors = map[string]string{
	statuspage.StateUp: green, statuspage.StateDown: red, statuspage.StateFailing: yellow, statuspage.StateUnknown: faint,
}

// bar draws a time beside the longest.
func (p *printer) bar(ms *float64, longest float64, width int) string {
	if ms == nil || longest == 0 || width == 0 {
		return ""
	}
	full := "█"
	if p.Plain {
		full = "#"
	}
	return strings.Repeat(full, int(math.Ceil(*ms/longest*float64(width))))
}

func (p *printer) refused(s *statuspage.Status) {
	p.line(p.color(faint, "LAST REFUSED"))
	if len(s.Last) == 0 {
		p.line("nothing has been refused")
	}
	for _, m := range s.Last[:min(len(s.Last), 5)] {
		code := map[string]string{"reject": red, "tempfail": yellow}[m.Outcome]
		whom := "session of " + m.Client
		if m.From != nil {
			whom = "<" + *m.From + "> to "
			switch {
			case m.To == "":
				whom += "nobody"
			case m.Rcpts > 1:
				whom += fmt.Sprintf("<%s> and %d more", m.To, m.Rcpts-1)
			default:
				whom += "<" + m.To + ">"
			}
		}
		id := m.QueueID
		if id != "" {
			id += " "
		}
		at, outcome := clock(m.Time, s.Now), words[m.Outcome]
		p.line(at + " " + p.color(code, fmt.Sprintf("%-9s", outcome)) + " " + p.cut(id+whom, p.Width-len(at)-2-max(len(outcome), 9)))
		if m.Code > 0 {
			p.line("  " + p.color(faint, p.cut(fmt.Sprintf("%s: %d %s", m.By, m.Code, m.Reply), p.Width-2)))
		}
	}
}

// cut is a text that is no wider than that, on one line, of characters that print.
func (p *printer) cut(text string, most int) string {
	text = printable(text)
	switch {
	case most <= 0:
		return ""
	case width(text) <= most:
		return text
	}
	dots := "…"
	if p.Plain {
		dots = "..."
	}
	runes := []rune(text)
	for len(runes) > 0 && width(string(runes))+width(dots) > most {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + dots
}

// printable is a text without what could command a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
			return '?'
		}
		return r
	}, strings.TrimSpace(text))
}

// width is how many columns a printable text takes: East Asian characters take two.
func width(text string) int {
	n := utf8.RuneCountInString(text)
	for _, r := range text {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r >= 0xff01 && r <= 0xff60 || r >= 0x1f300 {
			n++
		}
	}
	return n
}

func pad(text string, to int) string { return text + strings.Repeat(" ", max(to-width(text), 0)) }

// number is a whole number with commas.
func number[N int | uint64 | uint32](n N) string {
	digits := fmt.Sprint(n)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	slices.Reverse(groups)
	return strings.Join(append([]string{digits}, groups...), ",")
}

func bytes(n int64) string {
	switch v := float64(n); {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.0f KiB", v/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", v/(1<<30))
	}
}

// took is a time in milliseconds in short.
func took(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms < 0.1:
		return "<0.1 ms"
	case *ms < 10:
		return fmt.Sprintf("%.1f ms", *ms)
	case *ms < 1000:
		return fmt.Sprintf("%.0f ms", *ms)
	}
	return fmt.Sprintf("%.1f s", *ms/1000)
}

// age is how long something has lasted.
func age(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	if d >= time.Hour {
		d = d.Truncate(time.Minute)
	}
	return tomlfile.FormatDuration(d.Truncate(time.Second))
}

// clock is a moment: the time, with the day where that is another.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("Jan _2 15:04")
}
