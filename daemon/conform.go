package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

const conformLong = `Look whether the milter that listens on SOCKET keeps to the milter protocol:
whether it negotiates what was offered, answers each command once and in time,
bears an abort at each stage, several messages in a session and many sessions
at once, odd mail, clients that go away and what is not the protocol, and asks
only for edits that were negotiated and are legal. What it makes of a message
is its own affair.

The milter can be any, milterkit itself or a single one. It is sent about a
hundred harmless messages, for bob@example.net and others; one that counts,
learns or keeps mail does so with them.

The last check sends header and body ahead of the answers, as milterkit does
where pipeline = true, and tells whether the outcome is the same.

Each check is "ok", a "note" of what is good to know, or "failed", with what the
milter did and what the protocol says.

SOCKET is written as in main.cf: unix:PATH, inet:PORT@HOST or inet:HOST:PORT.

Exit status: 0 when nothing failed, 1 when something did, 2 for a wrong command
line.`

const conformExample = `  milterkit conform unix:/run/opendkim/opendkim.sock
  milterkit conform inet:8891@127.0.0.1 --timeout 60s --sessions 100 --json`

// conformOptions are the flags of conform.
type conformOptions struct {
	timeout  time.Duration
	sessions int
	json     bool
	color    string
}

func (o *conformOptions) declare(f *pflag.FlagSet) {
	f.SortFlags = false
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "`TIME` to wait for each answer")
	f.IntVar(&o.sessions, "sessions", 20, "`NUMBER` of sessions at once")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.color, "color", "auto", "`WHEN` to print in colour: auto, always, never")
}

func newConformCommand() *cobra.Command {
	o := &conformOptions{}
	c := &cobra.Command{
		Use:     "conform SOCKET",
		Short:   "Look whether a milter keeps to the protocol",
		Long:    conformLong,
		Example: conformExample,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args[0], c.OutOrStdout())
		},
	}
	o.declare(c.Flags())
	return c
}

// conformFinding is a finding as --json prints it.
type conformFinding struct {
	Check   string  `json:"check"`
	Result  string  `json:"result"` // ok, note, failed
	Text    string  `json:"text,omitempty"`
	Rule    string  `json:"rule,omitempty"`
	Elapsed float64 `json:"elapsed_ms"`
}

// run looks at the milter on a socket.
func (o *conformOptions) run(ctx context.Context, spec string, stdout io.Writer) error {
	socket, err := config.ParseSocket(spec)
	if err != nil || socket.Network == "systemd" {
		return usage("cannot look at %s: %w", spec, errors.Join(err, errSystemd(socket)))
	}
	if o.timeout <= 0 || o.sessions <= 0 {
		return usage("--timeout %v --sessions %d: both are more than nothing", o.timeout, o.sessions)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, o.color) {
		return usage("--color %s: write auto, always or never", o.color)
	}
	paint := newPaint(stdout, o.color)
	all, failed := []conformFinding{}, 0
	c := miltertest.Conformance{Timeout: o.timeout, Sessions: o.sessions,
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, socket.Network, socket.Addr)
		},
		OnFinding: func(f miltertest.Finding) {
			if f.Result == miltertest.Broken {
				failed++
			}
			if o.json {
				all = append(all, conformFinding{f.Check, f.Result.String(), f.Text, f.Rule, millis(f.Elapsed)})
				return
			}
			fmt.Fprint(stdout, paint.finding(f))
		}}
	c.Check(ctx)
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(all); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &statusError{exitFault, fmt.Errorf("%s does not keep to the protocol: %d check%s failed", socket, failed, plural(failed))}
	}
	return nil
}

// What a finding is printed in: two columns, and lines of text.
const (
	findingIndent = 8 + 31
	findingWidth  = 76
)

// finding is a finding as people read it.
func (p paint) finding(f miltertest.Finding) string {
	result := fmt.Sprintf("%-8s", f.Result)
	switch f.Result {
	case miltertest.Broken:
		result = p.red(result)
	case miltertest.Noted:
		result = p.bold(result)
	default:
		result = p.green(result)
	}
	text := f.Text
	if f.Rule != "" {
		text += "\nThe protocol: " + f.Rule + "."
	}
	var b strings.Builder
	for i, line := range wrapped(text, findingWidth) {
		if i == 0 {
			b.WriteString(strings.TrimRight(fmt.Sprintf("%s%-*s%s", result, findingIndent-8, f.Check, line), " ") + "\n")
			continue
		}
		fmt.Fprintf(&b, "%*s%s\n", findingIndent, "", line)
	}
	return b.String()
}

// wrapped breaks text into lines of a width, at spaces.
func wrapped(text string, width int) []string {
	var lines []string
	for part := range strings.SplitSeq(text, "\n") {
		line := ""
		for word := range strings.FieldsSeq(part) {
			if line != "" && len(line)+1+len(word) > width {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		lines = append(lines, line)
	}
	return lines
}
