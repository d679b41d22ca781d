package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/daemon/internal/when"
	"github.com/milterkit/sdk/milterkit"
)

// advice is what an administrator should know of a configuration that is not
// wrong. serve logs it.
func advice(c *config.Config) []string { return adviceOn(c, nil) }

// adviceOn is the advice where milters on sockets were asked, which check does: their
// answers by their names.
func adviceOn(c *config.Config, answers map[string]doctor.Answer) []string {
	all := notes(c)
	if c.Server.StageTimeout.V >= 30*time.Second {
		all = append(all, "stage_timeout is not below the 30s that Postfix waits by default (milter_command_timeout)")
	}
	if c.Server.MessageTimeout.V >= 300*time.Second {
		all = append(all, "message_timeout is not below the 300s that Postfix waits by default (milter_content_timeout)")
	}
	for _, f := range doctor.Known(systemRoot, c).Order(answers) {
		all = append(all, f.Line())
	}
	return all
}

// notes are those of the advice that doctor has nothing to add to.
func notes(c *config.Config) []string {
	notes := slices.Clone(c.Notes)
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
	for _, s := range c.Server.Listen.V {
		if host, _, err := net.SplitHostPort(s.Addr); err == nil && s.Network != "unix" && !loopback(host) {
			notes = append(notes, fmt.Sprintf("%s can be reached from other machines, and milters ask nobody who he is", s))
		}
	}
	if len(c.Enabled()) == 0 {
		notes = append(notes, "no milter is enabled: every message passes")
	}
	notes = append(notes, partedGroups(c.Enabled())...)
	for i, m := range c.Milters {
		if !m.Enabled.V {
			continue
		}
		condition, _ := compile(new(when.Env), m.When.V, c.Before(i))
		for _, name := range when.Strange(condition) {
			notes = append(notes, fmt.Sprintf("the condition of %s names the macro %s, which neither Postfix nor Sendmail has by itself: unless the MTA is told to define it, it is empty", m.Name.V, name))
		}
		if m.DefaultAction.V == milterkit.DefaultQuarantine {
			notes = append(notes, fmt.Sprintf("the default action of %s is tempfail behind an MTA that offers no quarantine", m.Name.V))
		}
	}
	return notes
}

// partedGroups tells of shadows that stand within a group and do not belong to it: the
// group is another one then than without them.
func partedGroups(on []config.Milter) (notes []string) {
	for i := 1; i+1 < len(on); i++ {
		if m := on[i]; m.Shadow.V && !m.Together.V && on[i+1].Together.V {
			notes = append(notes, fmt.Sprintf("%s is a shadow, and makes a difference all the same: %s runs together with it, and not with %s; give %s together = true as well",
				m.Name.V, on[i+1].Name.V, on[i-1].Name.V, m.Name.V))
		}
	}
	return notes
}

// loopback reports whether only this machine can reach a host's address.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
