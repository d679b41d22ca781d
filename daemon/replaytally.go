package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxDeciders bounds how many of those who decided are named of one outcome.
const maxDeciders = 8

// A tally counts what there was, and who decided it.
type tally map[string]map[string]int

func (t *tally) add(what, by string) {
	if *t == nil {
		*t = tally{}
	}
	if (*t)[what] == nil {
		(*t)[what] = map[string]int{}
	}
	(*t)[what][by]++
}

// A tallyRow is one line of a tally.
type tallyRow struct {
	what string
	n    int
	by   []string // "clamav at eom: 30", the most first
}

// rows returns what was counted, the most first.
func (t tally) rows() []tallyRow {
	var rows []tallyRow
	for what, deciders := range t {
		row := tallyRow{what: what}
		var names []string
		for by, n := range deciders {
			row.n += n
			if by != "" {
				names = append(names, by)
			}
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(deciders[b]-deciders[a], cmp.Compare(a, b)) })
		for _, by := range names[:min(len(names), maxDeciders)] {
			row.by = append(row.by, fmt.Sprintf("%s %d", by, deciders[by]))
		}
		if len(names) > maxDeciders {
			row.by = append(row.by, "…")
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b tallyRow) int { return cmp.Or(b.n-a.n, cmp.Compare(a.what, b.what)) })
	return rows
}

func (r tallyRow) text() string {
	if len(r.by) == 0 {
		return r.what
	}
	return r.what + "  (" + strings.Join(r.by, ", ") + ")"
}
