package config

import (
	"fmt"
	"testing"
)

// What has changed is told by name, whatever line it stands on.
func TestChangesAreToldByName(t *testing.T) {
	milter := func(name, more string) string {
		return "[[milter]]\nname = \"" + name + "\"\nsocket = \"/" + name + "\"\n" + more
	}
	const nested = "[[milter]]\nname = \"n\"\nuse = \"known\"\n[[milter.options.rule]]\nmatch = \"%s\"\npart = [{x = %d}]\n"
	for _, c := range []struct{ old, now, want, server string }{
		{"", "", "the same milters on the same terms", "[]"},
		{milter("a", ""), "# a line\n" + milter("a", ""), "the same milters on the same terms", "[]"},
		{milter("a", ""), milter("b", ""), "milters: added b; removed a", "[]"},
		{milter("a", ""), milter("a", "enabled = false\n"), "milters: removed a", "[]"},
		{milter("a", "") + milter("b", ""), milter("b", "") + milter("a", "shadow = true\n"), "milters: changed a; another order", "[]"},
		{milter("a", ""), milter("a", "[milter.macros]\nx = \"1\"\n"), "milters: changed a", "[]"},
		{fmt.Sprintf(nested, "a", 1), "\n" + fmt.Sprintf(nested, "a", 1), "the same milters on the same terms", "[]"},
		{fmt.Sprintf(nested, "a", 1), fmt.Sprintf(nested, "b", 1), "milters: changed n", "[]"},
		{fmt.Sprintf(nested, "a", 1), fmt.Sprintf(nested, "a", 2), "milters: changed n", "[]"},
		{"[server]\nmax_sessions = 1\n", "[server]\nlisten = [\"/x\"]\n", "the same milters on the same terms", "[listen max_sessions]"},
	} {
		old, err := Parse("f", []byte(c.old), known)
		if err != nil {
			t.Fatal(err)
		}
		now, err := Parse("g", []byte(c.now), known)
		if err != nil {
			t.Fatal(err)
		}
		if ch := old.ChangesTo(now); ch.String() != c.want || fmt.Sprint(ch.Server) != c.server {
			t.Errorf("%s\n->\n%s\ngot %s, %v", c.old, c.now, ch, ch.Server)
		}
	}
}
