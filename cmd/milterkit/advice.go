package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/milterkit/sdk/cmd/milterkit/internal/config"
	"github.com/milterkit/sdk/milterkit"
)

// advice is what an administrator should know of a configuration that is not
// wrong. serve logs it, check prints it.
func advice(c *config.Config) []string {
	var notes []string
	name := c.Server.User
	// Not user.Current, which remembers who started the process.
	switch me, err := user.LookupId(strconv.Itoa(os.Getuid())); {
	case os.Geteuid() == 0:
		notes = append(notes, "milterkit keeps the rights of root, which it does not need")
	case err == nil && !name.From.IsDefault() && me.Username != name.V && me.Uid != name.V:
		notes = append(notes, fmt.Sprintf("started as %s, not as root, milterkit cannot become %s", me.Username, name.V))
	}
	if inMemory(c.Server.TempDir.V) {
		notes = append(notes, fmt.Sprintf("temp_dir %s is in memory, so what max_memory bounds takes memory all the same", c.Server.TempDir.V))
	}
	if len(c.Enabled()) == 0 {
		notes = append(notes, "no milter is enabled: every message passes")
	}
	for _, m := range c.Enabled() {
		if m.DefaultAction.V == milterkit.DefaultQuarantine {
			notes = append(notes, fmt.Sprintf("the default action of %s is tempfail behind an MTA that offers no quarantine", m.Name.V))
		}
	}
	return notes
}
