package dmarc

import (
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/builtin/spf"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// SPF, DKIM and DMARC of one message share one set of look-ups, whether each has a
// child of its own or one does all: no question is asked twice.
func TestNoQuestionTwice(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		for name, children := range map[string][]string{"three": {"spf", "dkim", "dmarc"}, "one": {"dmarc"}, "twice": {"dmarc", "dmarc"}} {
			zone := keyed("reject.example", "hard.example")
			zone["_dmarc.subs.example"] = txt("v=DMARC1; p=none; sp=none; np=none")
			asked := &miltertest.Resolver{Zone: zone}
			cache := &dns.Cache{Resolver: asked}
			var slots []milterkit.Slot
			for i, c := range children {
				slots = append(slots, milterkit.Slot{Child: named{child(t, c, cache), c + string(rune('0'+i))}, Together: together && i > 0})
			}
			text := signed(t, "hard.example", signed(t, "hard.example", from("alice@a.there.subs.example")))
			for range 2 {
				got := send(t, player(client, "hard.example"), "news@hard.example", text, slots...)
				if got.Reply != "" || !strings.Contains(got.Message.String(), "dmarc=fail (p=none dis=none)") {
					t.Errorf("%s: %q, %s", name, got.Reply, got.Message)
				}
			}
			queries := asked.Queries()
			slices.Sort(queries)
			if n := len(slices.Compact(slices.Clone(queries))); n != len(queries) || n < 8 {
				t.Errorf("%s, together %v: %d queries, %d of them different: %q", name, together, len(queries), n, queries)
			}
		}
	}
}

func child(t *testing.T, name string, cache *dns.Cache) (c milterkit.Child) {
	t.Helper()
	var err error
	switch name {
	case "spf":
		o := spf.Defaults
		o.Resolver = cache
		c, err = spf.New(o)
	case "dkim":
		o := dkim.VerifyDefaults
		o.Resolver = cache
		c, err = dkim.NewVerify(o)
	default:
		o := Defaults
		o.Resolver = cache
		c, err = New(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// named is a child under a name of its own.
type named struct {
	milterkit.Child
	name string
}

func (n named) Name() string { return n.name }
