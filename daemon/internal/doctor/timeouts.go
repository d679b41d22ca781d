package doctor

import (
	"fmt"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// leastConnect is what the mail server must give milterkit to answer a connection.
const leastConnect = 2 * time.Second

// below is a time that is enough below another.
func below(d time.Duration) time.Duration {
	return max(d-max(min(d/6, 10*time.Second), time.Second), d/2).Truncate(time.Second / 10)
}

// Times compares how long Postfix waits for milterkit with what milterkit takes.
func (r *Report) Times(p *Postfix, c *config.Config, e entry) {
	type pair struct {
		of, key string
		ours    config.Value[time.Duration]
	}
	bad := false
	for _, t := range []pair{
		{"command_timeout", "stage_timeout", c.Server.StageTimeout},
		{"content_timeout", "message_timeout", c.Server.MessageTimeout},
	} {
		theirs, raise := p.duration(e, t.of)
		if t.ours.V < theirs {
			continue
		}
		bad = true
		f := Finding{Rule: "timeout", About: "Postfix", Message: fmt.Sprintf("%s waits %v for milterkit (milter_%s), and milterkit up to %v for its milters (%s): Postfix gives up first",
			e.service, theirs, t.of, t.ours.V, t.key)}
		if theirs < defaultTime(t.of) { // it was set too low
			f.Mend = []Mend{raise(seconds(defaultTime(t.of)))}
			theirs = defaultTime(t.of)
		}
		if t.ours.V >= theirs {
			f.Mend = append(f.Mend, serverKey(c, "%s = %q", t.key, tomlfile.FormatDuration(below(theirs))))
		}
		r.wrongOnce(f)
	}
	if theirs, raise := p.duration(e, "connect_timeout"); theirs < leastConnect {
		bad = true
		r.wrongOnce(Finding{"timeout", "Postfix", fmt.Sprintf("%s waits only %v for a connection to milterkit (milter_connect_timeout)", e.service, theirs),
			[]Mend{raise(defaults["milter_connect_timeout"])}})
	}
	if !bad {
		r.right("Postfix", "%s waits longer than milterkit takes", e.service)
	}
}

func defaultTime(name string) time.Duration {
	d, _ := durationOf(defaults["milter_"+name])
	return d
}

// seconds writes a time as Postfix does.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int64(d/time.Second)) }

// wrongOnce adds a finding whose mends are not there yet.
func (r *Report) wrongOnce(f Finding) {
	for _, old := range r.Findings {
		if old.Rule == f.Rule && len(old.Mend) == len(f.Mend) && old.Mend[0] == f.Mend[0] {
			return
		}
	}
	r.wrong(f)
}

// ChildTimes looks for times of milters that are never waited for.
func (r *Report) ChildTimes(c *config.Config) {
	s := &c.Server
	for _, m := range c.Enabled() {
		for _, t := range []struct {
			key, all  string
			own, most config.Value[time.Duration]
		}{
			{"connect_timeout", "stage_timeout", m.ConnectTimeout, s.StageTimeout},
			{"command_timeout", "stage_timeout", m.CommandTimeout, s.StageTimeout},
			{"content_timeout", "message_timeout", m.ContentTimeout, s.MessageTimeout},
		} {
			if !t.own.From.IsDefault() && t.own.V > t.most.V {
				r.wrong(Finding{"timeout", m.Name.V, fmt.Sprintf("%s is %v, and all milters together have %v (%s)", t.key, t.own.V, t.most.V, t.all),
					[]Mend{milterKey(c, &m, "%s = %q", t.key, tomlfile.FormatDuration(t.most.V))}})
			}
		}
	}
}
