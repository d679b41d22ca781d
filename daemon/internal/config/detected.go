package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/milterkit/sdk/daemon/internal/detect"
	"github.com/milterkit/sdk/milterkit"
)

// detected is the origin of what detection has decided by itself.
var detected = Origin{File: "detect"}

// AddDetected adds the milters that were found on this machine behind those of the
// file. One that the file has, by its name or on its socket, stays as it is there.
// Notes say what is left out for other reasons.
func (c *Config) AddDetected(found *detect.Result) {
	own := slices.Clone(c.Milters)
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
	}
}
