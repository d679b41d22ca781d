package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/detect"
	"github.com/milterkit/sdk/milterkit"
)

// detected is the origin of what detection has decided by itself.
var detected = Origin{File: "detect"}

// AddDetected adds the milters that were found on this machine behind those of the
// file. One that the file has, by its name or on its socket, stays as it is there.
// Notes say what is left out for other reasons. It is an error where a filter that the
// system starts would be left out because a file could not be read.
func (c *Config) AddDetected(found *detect.Result) error {
	own := slices.Clone(c.Milters)
	var faults Errors
	for _, m := range found.Milters {
		if m.Unread != "" && !slices.ContainsFunc(own, func(o Milter) bool { return o.Name.V == m.Name }) {
			faults = append(faults, c.Fault("detect", c.Server.Detect.From, fmt.Errorf("%s would be left out, which this system starts: "+
				"%s; have milterkit's user read that, or write a [[milter]] with that name", m.Name, m.Unread))...)
		}
	}
	for _, p := range found.Plan() {
		if slices.ContainsFunc(own, func(m Milter) bool {
			return m.Name.V == p.Name || m.Name.V == p.Found.Name || m.Socket.V == p.Socket
		}) {
			continue
		}
		if slices.Contains(c.Server.Listen.V, p.Socket) {
			c.Notes = append(c.Notes, fmt.Sprintf("detect: %s is left out: milterkit itself listens on %s", p.Name, p.Socket))
			continue
		}
		m := defaultMilter()
		m.From = Origin{File: p.Found.At.File, Line: p.Found.At.Line}
		m.Name = Value[string]{p.Name, Origin{File: p.Found.Service}}
		m.Socket = Value[Socket]{p.Socket, m.From}
		if p.When != "" {
			m.When = Value[string]{p.When, detected}
		}
		if p.Command != 0 {
			m.CommandTimeout = Value[time.Duration]{p.Command, detected}
		}
		if p.Action != milterkit.DefaultTempFail {
			m.DefaultAction = Value[milterkit.DefaultAction]{p.Action, detected}
		}
		if !p.Enabled {
			m.Enabled = Value[bool]{false, detected}
		}
		c.Milters = append(c.Milters, m)
	}
	for _, n := range found.Skipped {
		c.Notes = append(c.Notes, "detect: "+n.String())
		c.Unread = append(c.Unread, n.String())
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// LostTo is what is wrong with the configuration that is to follow where it has not
// got milters that were detected before, and detection could not read everything.
func (c *Config) LostTo(next *Config) Errors {
	var lost []string
	for _, m := range c.Enabled() {
		detected := m.From.File != c.File
		if detected && !slices.ContainsFunc(next.Enabled(), func(n Milter) bool { return n.Name.V == m.Name.V }) {
			lost = append(lost, m.Name.V)
		}
	}
	if len(lost) == 0 || len(next.Unread) == 0 || !next.Server.Detect.V {
		return nil
	}
	return next.Fault("detect", next.Server.Detect.From, fmt.Errorf("this was found before, and is not now: %s; and not everything could be read: %s",
		strings.Join(lost, ", "), strings.Join(next.Unread, "; ")))
}
