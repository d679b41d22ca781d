package config

import (
	"fmt"
	"slices"
	"strings"
)

// Changes are what one configuration has and the one before had not, by the names of
// milters and of keys in [server].
type Changes struct {
	Added, Removed, Changed []string // milters
	Order                   bool     // those that stay come in another order
	Server                  []string // keys
}

// ChangesTo returns what is other in next. Where a value came from does not count,
// nor what stands in files that it names.
func (c *Config) ChangesTo(next *Config) Changes {
	var ch Changes
	old, now := c.Server.settings(), next.Server.settings()
	for i := range now {
		if fmt.Sprint(old[i].value) != fmt.Sprint(now[i].value) {
			ch.Server = append(ch.Server, now[i].key)
		}
	}
	before, after := c.terms(), next.terms()
	var stayed, stay []string
	for _, m := range c.Enabled() {
		if _, there := after[m.Name.V]; !there {
			ch.Removed = append(ch.Removed, m.Name.V)
			continue
		}
		stayed = append(stayed, m.Name.V)
	}
	for _, m := range next.Enabled() {
		was, there := before[m.Name.V]
		switch {
		case !there:
			ch.Added = append(ch.Added, m.Name.V)
			continue
		case was != after[m.Name.V]:
			ch.Changed = append(ch.Changed, m.Name.V)
		}
		stay = append(stay, m.Name.V)
	}
	ch.Order = !slices.Equal(stayed, stay)
	return ch
}

// terms are all that the file says of each milter that takes part, as text.
func (c *Config) terms() map[string]string {
	all := make(map[string]string)
	for _, m := range c.Enabled() {
		var b strings.Builder
		for _, s := range slices.Concat(m.settings(), m.macroSettings(), m.optionSettings()) {
			s.from = Origin{}
			fmt.Fprintf(&b, "%s = %v\n", s.key, bare(s.value))
		}
		all[m.Name.V] = b.String()
	}
	return all
}

// bare is a value in which no origin is left.
func bare(value any) any {
	list, ok := value.([]section)
	if !ok {
		return value
	}
	var tables [][]any
	for _, table := range list {
		var one []any
		for _, s := range table {
			one = append(one, s.key, bare(s.value))
		}
		tables = append(tables, one)
	}
	return tables
}

// String says what has changed of the milters on one line.
func (ch Changes) String() string {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", ch.Added}, {"removed", ch.Removed}, {"changed", ch.Changed}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
		}
	}
	if ch.Order {
		parts = append(parts, "another order")
	}
	if len(parts) == 0 {
		return "the same milters on the same terms"
	}
	return "milters: " + strings.Join(parts, "; ")
}
