package metrics

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/builtin/greylist"
	"github.com/milterkit/sdk/daemon/internal/journal"
	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

var update = flag.Bool("update", false, "write the metrics to docs/metrics.md")

const (
	page      = "../../../docs/metrics.md"
	pageStart = "<!-- from what is served: go test ./daemon/internal/metrics -run Page -update -->\n"
	pageEnd   = "<!-- end of what is written from there -->\n"
)

// A served metric is one of the program's own.
type served struct{ kind, help, labels string }

// all are the metrics that there can be.
func all(t *testing.T) map[string]served {
	t.Helper()
	o := greylist.Defaults
	o.Database = t.TempDir() + "/greylist.db"
	child, err := greylist.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.(*greylist.Greylist).Close() })
	slots := append(slices.Clone(chain), milterkit.Slot{Child: child}, milterkit.Slot{Child: &remote.Milter{Label: "opendkim"}})
	d, m := counting(t, slots...)
	j, err := journal.Open(t.TempDir()+"/journal.db", journal.MinSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	m.now.from.Journal = j
	d.OnReport = func(r *milterkit.Report) {
		m.Observe(r)
		j.Put(record.Of(r, time.Now()))
	}
	pass(d, 1)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if r, err := j.Range(); err == nil && r.Records > 0 { // it is written in the background
			break
		}
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]served{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "milterkit_") {
			continue
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		list[f.GetName()] = served{strings.ToLower(f.GetType().String()), f.GetHelp(), strings.Join(labels, ", ")}
	}
	return list
}

// docs/metrics.md has every metric that is served, with what it means.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), pageStart)
	listed, after, ended := strings.Cut(rest, pageEnd)
	if !ok || !ended {
		t.Fatalf("%s has no lines %q and %q", page, pageStart, pageEnd)
	}
	want := "\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
	metrics := all(t)
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		m := metrics[name]
		want += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, m.kind, m.labels, m.help)
	}
	want += "\n"
	if *update {
		if err := os.WriteFile(page, []byte(before+pageStart+want+pageEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != want {
		t.Errorf("%s is not what is served: run 'go test ./daemon/internal/metrics -run Page -update'", page)
	}
}
