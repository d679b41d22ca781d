package detect

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/milterkit/sdk/internal/tomlfile"
	"github.com/milterkit/sdk/milterkit"
)

// Listen is where a written configuration has the mail server connect: on loopback,
// where a mail server in a chroot, and of whatever group, gets to.
const Listen = "inet:8890@127.0.0.1"

// TOML returns a configuration file for what was found.
func (r *Result) TOML() []byte {
	var b bytes.Buffer
	b.WriteString(`# Made by milterkit detect of the milters that this system has.
# Postfix:  smtpd_milters = inet:127.0.0.1:8890   (instead of those below)
# Sendmail: INPUT_MAIL_FILTER(` + "`milterkit', `S=inet:8890@127.0.0.1, F=T, T=S:10s;R:10s;E:5m')" + `

[server]
listen  = ["` + Listen + `"]
status  = ["127.0.0.1:8891", "unix:/run/milterkit/status.sock"]  # a page for a browser; milterkit status, reload and restart
journal = "/var/lib/milterkit/journal.db"                        # what milterkit trace finds
`)
	plan := r.Plan()
	for i := range plan {
		plan[i].toml(&b)
	}
	if len(plan) == 0 {
		b.WriteString("\n# No milter was found.\n")
	}
	for _, n := range r.Skipped {
		fmt.Fprintf(&b, "\n# %s", oneLine(n.String()))
	}
	if len(r.Skipped) > 0 {
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (p *Planned) toml(b *bytes.Buffer) {
	b.WriteString("\n[[milter]]\n")
	for _, note := range p.Notes {
		fmt.Fprintf(b, "# %s\n", oneLine(note))
	}
	key := func(name string, text any, comment string) {
		row := fmt.Sprintf("%-14s = %s", name, tomlfile.Literal(text))
		if comment != "" {
			row += "  # " + oneLine(comment)
		}
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	key("name", p.Name, p.Found.Service)
	key("socket", p.Socket.String(), p.Found.At.String())
	if p.When != "" {
		key("when", p.When, "")
	}
	if p.Command != 0 {
		key("command_timeout", tomlfile.FormatDuration(p.Command), "")
	}
	if p.Action != milterkit.DefaultTempFail {
		key("default_action", p.Action.String(), "")
	}
	if !p.Enabled {
		key("enabled", false, "")
	}
}
