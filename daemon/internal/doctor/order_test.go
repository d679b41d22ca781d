package doctor

import (
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// orderOf are the rules that are broken by milters in an order: NAME, or NAME WHEN.
func orderOf(t *testing.T, milters ...string) string {
	t.Helper()
	var text strings.Builder
	for _, m := range milters {
		name, when, _ := strings.Cut(m, " ")
		text.WriteString("[[milter]]\nname = \"" + name + "\"\nsocket = \"unix:/run/" + name + "/s\"\n")
		if when != "" {
			text.WriteString("when = \"" + when + "\"\n")
		}
	}
	c, err := config.Parse("f", []byte(text.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, f := range Known(t.TempDir(), c).Order(nil) {
		rules = append(rules, f.Rule+" "+f.About)
	}
	return strings.Join(rules, ", ")
}

// Two instances of OpenDKIM, one that verifies first and one that signs last, are
// right, whatever their files are called; one that comes after DMARC is not.
func TestTwoInstancesOfDKIM(t *testing.T) {
	t.Parallel()
	const foreign = " !authenticated && !local"
	for _, c := range []struct {
		milters []string
		want    string
	}{
		{[]string{"opendkim-in" + foreign, "opendmarc" + foreign, "spamass-milter" + foreign, "opendkim-out"}, ""},
		{[]string{"opendkim-verify", "opendmarc" + foreign, "opendkim"}, ""},
		{[]string{"opendmarc" + foreign, "opendkim"}, "dmarc-first opendmarc"},
		{[]string{"opendmarc" + foreign, "opendkim-in" + foreign, "opendkim-out"}, "dmarc-first opendmarc"},
	} {
		if got := orderOf(t, c.milters...); got != c.want {
			t.Errorf("%q: %q, want %q", c.milters, got, c.want)
		}
	}
}

// The name server of the system is asked where a child asks it, or a condition.
func TestNameServersOfConditions(t *testing.T) {
	t.Parallel()
	for when, n := range map[string]int{"true": 0, "spf == 'pass'": 1, "!trusted && s25r": 1, "dnsbl('bl.example')": 1, "s25r": 0} {
		c, err := config.Parse("f", []byte("[[milter]]\nname = \"a\"\nsocket = \"/a\"\nwhen = \""+when+"\"\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := NameServers(c); len(got) != n {
			t.Errorf("%s: %v", when, got)
		}
	}
}
