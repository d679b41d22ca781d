package overlay

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// forked returns a fork of h with the edits laid on it.
func forked(h *Header, edits ...Edit) *Fork {
	f := h.Fork()
	for _, e := range edits {
		f.Apply(e)
	}
	return f
}

// want checks the fields of h, and that its script gives just these, whichever
// way the MTA counts. Lines are "Name:value", and "[hidden]" for the Received of
// the MTA.
func want(t *testing.T, h *Header, lines ...string) {
	t.Helper()
	all := strings.Join(append(slices.Clone(lines), ""), "\n")
	if got := fullText(h); got != all {
		t.Errorf("full header:\n%swant:\n%s", got, all)
	}
	if got, want := text(h.Fields()), strings.Replace(all, "[hidden]\n", "", 1); got != want {
		t.Errorf("fields:\n%swant:\n%s", got, want)
	}
	checkScript(t, h)
}

// checkScript applies h's script to the original header as each MTA would.
func checkScript(t *testing.T, h *Header) {
	t.Helper()
	for _, sendmail := range []bool{false, true} {
		m := newModel(h.orig)
		m.sendmail = sendmail
		for _, e := range h.Script() {
			m.apply(e)
		}
		if m.full() != fullText(h) {
			t.Errorf("script %v gives (sendmail %v):\n%swant:\n%s", h.Script(), sendmail, m.full(), fullText(h))
		}
	}
}

// TestEditsApplyAsPostfixDoes has one row a rule. Each row's edits are applied
// in one fork, then each in a fork of its own: it must not matter.
func TestEditsApplyAsPostfixDoes(t *testing.T) {
	const a, b, a2 = "A: 1", "B: 2", "A: 3"
	tests := []struct {
		rule  string
		edits []Edit
		want  []string
	}{
		{"add appends", []Edit{{Add, 0, "N", " n"}}, []string{"[hidden]", a, b, a2, "N: n"}},
		{"add does not use its index", []Edit{{Add, 1, "N", " n"}}, []string{"[hidden]", a, b, a2, "N: n"}},
		{"add takes an empty value", []Edit{{Add, 0, "N", ""}}, []string{"[hidden]", a, b, a2, "N:"}},
		{"insert at 0 is the top", []Edit{{Insert, 0, "N", " n"}}, []string{"N: n", "[hidden]", a, b, a2}},
		{"insert below 0 is the top", []Edit{{Insert, -5, "N", " n"}}, []string{"N: n", "[hidden]", a, b, a2}},
		{"insert at 1 is behind the hidden one", []Edit{{Insert, 1, "N", " n"}}, []string{"[hidden]", "N: n", a, b, a2}},
		{"insert at 2", []Edit{{Insert, 2, "N", " n"}}, []string{"[hidden]", a, "N: n", b, a2}},
		{"insert takes an empty value", []Edit{{Insert, 2, "N", ""}}, []string{"[hidden]", a, "N:", b, a2}},
		{"insert at the end appends", []Edit{{Insert, 4, "N", " n"}}, []string{"[hidden]", a, b, a2, "N: n"}},
		{"insert beyond the end appends", []Edit{{Insert, 99, "N", " n"}}, []string{"[hidden]", a, b, a2, "N: n"}},
		{"insert counts inserted ones", []Edit{{Insert, 0, "N", " n"}, {Insert, 1, "M", " m"}},
			[]string{"N: n", "M: m", "[hidden]", a, b, a2}},
		{"insert does not count deleted ones", []Edit{{Delete, 1, "A", ""}, {Insert, 2, "N", " n"}},
			[]string{"[hidden]", b, "N: n", a2}},
		{"later insert at 0 is on top", []Edit{{Insert, 0, "N", " n"}, {Insert, 0, "M", " m"}},
			[]string{"M: m", "N: n", "[hidden]", a, b, a2}},
		{"insert before an added one", []Edit{{Add, 0, "N", " n"}, {Insert, 4, "M", " m"}},
			[]string{"[hidden]", a, b, a2, "M: m", "N: n"}},
		{"change by name and count", []Edit{{Change, 2, "A", " x"}}, []string{"[hidden]", a, b, "A: x"}},
		{"change 0 is the first", []Edit{{Change, 0, "A", " x"}}, []string{"[hidden]", "A: x", b, a2}},
		{"change below 0 is the first", []Edit{{Change, -1, "A", " x"}}, []string{"[hidden]", "A: x", b, a2}},
		{"change finds any case and takes the spelling", []Edit{{Change, 2, "a", " x"}}, []string{"[hidden]", a, b, "a: x"}},
		{"change of the case alone", []Edit{{Change, 1, "b", " 2"}}, []string{"[hidden]", a, "b: 2", a2}},
		{"change beyond the count appends", []Edit{{Change, 3, "A", " x"}}, []string{"[hidden]", a, b, a2, "A: x"}},
		{"change of a missing name appends", []Edit{{Change, 1, "N", " n"}}, []string{"[hidden]", a, b, a2, "N: n"}},
		{"change to nothing deletes", []Edit{{Change, 1, "A", ""}}, []string{"[hidden]", b, a2}},
		{"change to nothing of a missing one is nothing", []Edit{{Change, 3, "A", ""}}, []string{"[hidden]", a, b, a2}},
		{"change does not see the hidden one", []Edit{{Change, 1, "Received", " r"}}, []string{"[hidden]", a, b, a2, "Received: r"}},
		{"change of an inserted one", []Edit{{Insert, 0, "N", " n"}, {Change, 1, "n", " x"}}, []string{"n: x", "[hidden]", a, b, a2}},
		{"delete by name and count", []Edit{{Delete, 2, "a", "ignored"}}, []string{"[hidden]", a, b}},
		{"delete 0 is the first", []Edit{{Delete, 0, "A", ""}}, []string{"[hidden]", b, a2}},
		{"delete of a missing one is nothing", []Edit{{Delete, 3, "A", ""}, {Delete, 1, "N", ""}}, []string{"[hidden]", a, b, a2}},
		{"delete does not see the hidden one", []Edit{{Delete, 1, "Received", ""}}, []string{"[hidden]", a, b, a2}},
		{"delete renumbers", []Edit{{Delete, 1, "A", ""}, {Change, 1, "A", " x"}}, []string{"[hidden]", b, "A: x"}},
		{"deleted ones are not found again", []Edit{{Delete, 1, "B", ""}, {Change, 1, "B", " x"}}, []string{"[hidden]", a, a2, "B: x"}},
		{"delete of an added one", []Edit{{Add, 0, "N", " n"}, {Delete, 1, "N", ""}}, []string{"[hidden]", a, b, a2}},
		{"delete before the hidden one", []Edit{{Insert, 0, "N", " n"}, {Delete, 1, "N", ""}, {Insert, 1, "M", " m"}},
			[]string{"[hidden]", "M: m", a, b, a2}},
		{"all deleted", []Edit{{Delete, 1, "A", ""}, {Delete, 1, "A", ""}, {Delete, 1, "B", ""}, {Insert, 1, "N", " n"}},
			[]string{"[hidden]", "N: n"}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			h := New(header(a, b, a2))
			h.Merge(forked(h, tt.edits...))
			want(t, h, tt.want...)

			h = New(header(a, b, a2))
			for _, e := range tt.edits {
				h.Merge(forked(h, e))
			}
			want(t, h, tt.want...)
		})
	}
}

// TestMergeIsByIdentity has one row a rule: forks of one state, merged in order.
func TestMergeIsByIdentity(t *testing.T) {
	const a, b, a2 = "A: 1", "B: 2", "A: 3"
	type edits = []Edit
	tests := []struct {
		rule  string
		forks []edits
		want  []string
	}{
		{"change after change: the later", []edits{{{Change, 1, "A", " x"}}, {{Change, 1, "A", " y"}}}, []string{"[hidden]", "A: y", b, a2}},
		{"delete after change: deleted", []edits{{{Change, 1, "A", " x"}}, {{Delete, 1, "A", ""}}}, []string{"[hidden]", b, a2}},
		{"change after delete: back at its place", []edits{{{Delete, 1, "A", ""}}, {{Change, 1, "A", " y"}}}, []string{"[hidden]", "A: y", b, a2}},
		{"delete after delete: one field", []edits{{{Delete, 1, "A", ""}}, {{Delete, 1, "A", ""}}}, []string{"[hidden]", b, a2}},
		{"an index is of the fork's own view", []edits{{{Delete, 1, "A", ""}}, {{Change, 2, "A", " y"}}}, []string{"[hidden]", b, "A: y"}},
		{"an index is not moved by another's insert", []edits{{{Insert, 1, "A", " x"}}, {{Delete, 1, "A", ""}}}, []string{"[hidden]", "A: x", b, a2}},
		{"own earlier edits count", []edits{{{Delete, 1, "A", ""}}, {{Delete, 1, "A", ""}, {Change, 1, "A", " y"}}}, []string{"[hidden]", b, "A: y"}},
		{"both insert at 0: the later on top", []edits{{{Insert, 0, "N", " n"}}, {{Insert, 0, "M", " m"}}},
			[]string{"M: m", "N: n", "[hidden]", a, b, a2}},
		{"both insert behind one field: the later first", []edits{{{Insert, 2, "N", " n"}}, {{Insert, 2, "M", " m"}}},
			[]string{"[hidden]", a, "M: m", "N: n", b, a2}},
		{"insert behind a deleted one", []edits{{{Delete, 1, "B", ""}}, {{Insert, 3, "M", " m"}}}, []string{"[hidden]", a, "M: m", a2}},
		{"insert behind one that comes back", []edits{{{Delete, 1, "B", ""}}, {{Insert, 3, "M", " m"}}, {{Change, 1, "B", " z"}}},
			[]string{"[hidden]", a, "B: z", "M: m", a2}},
		{"insert behind an own new one", []edits{{{Insert, 2, "N", " n"}}, {{Insert, 2, "M", " m"}, {Insert, 3, "O", " o"}}},
			[]string{"[hidden]", a, "M: m", "O: o", "N: n", b, a2}},
		{"adds in order", []edits{{{Add, 0, "N", " n"}, {Add, 0, "O", " o"}}, {{Add, 0, "M", " m"}}},
			[]string{"[hidden]", a, b, a2, "N: n", "O: o", "M: m"}},
		{"insert at the end is an add", []edits{{{Add, 0, "N", " n"}}, {{Insert, 4, "M", " m"}}},
			[]string{"[hidden]", a, b, a2, "N: n", "M: m"}},
		{"each changes a missing one: two fields", []edits{{{Change, 1, "N", " n"}}, {{Change, 1, "N", " m"}}},
			[]string{"[hidden]", a, b, a2, "N: n", "N: m"}},
		{"own new fields are not mixed up", []edits{{{Add, 0, "N", " n"}, {Add, 0, "N", " o"}}, {{Add, 0, "N", " m"}, {Change, 1, "N", " z"}}},
			[]string{"[hidden]", a, b, a2, "N: n", "N: o", "N: z"}},
		{"changed back is the original", []edits{{{Change, 1, "A", " x"}}, {{Change, 1, "A", " 1"}}}, []string{"[hidden]", a, b, a2}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			h := New(header(a, b, a2))
			var forks []*Fork
			for _, e := range tt.forks {
				forks = append(forks, forked(h, e...))
			}
			for _, f := range forks {
				h.Merge(f)
			}
			want(t, h, tt.want...)
		})
	}
}

func TestScriptIsTheShortestTelling(t *testing.T) {
	lines := []string{"A: 1", "B: 2", "a: 3", "C: 4"}
	tests := []struct {
		rule  string
		edits []Edit
		want  []Edit
	}{
		{"nothing", nil, nil},
		{"changed to the same", []Edit{{Change, 1, "A", " 1"}}, nil},
		{"changed and changed back", []Edit{{Change, 1, "A", " x"}, {Change, 1, "A", " 1"}}, nil},
		{"changed, then deleted", []Edit{{Change, 1, "A", " x"}, {Delete, 1, "A", ""}}, []Edit{{Delete, 1, "A", ""}}},
		{"new and deleted again", []Edit{{Add, 0, "N", " n"}, {Delete, 1, "N", ""}, {Insert, 0, "M", " m"}, {Delete, 1, "M", ""}}, nil},
		{"new and changed", []Edit{{Add, 0, "N", " n"}, {Change, 1, "n", " m"}}, []Edit{{Add, 0, "n", " m"}}},
		{"last field first, counted in the original",
			[]Edit{{Delete, 1, "A", ""}, {Change, 1, "A", " x"}, {Delete, 1, "C", ""}},
			[]Edit{{Delete, 1, "C", ""}, {Change, 2, "A", " x"}, {Delete, 1, "A", ""}}},
		{"inserts from the top, at their places in the end",
			[]Edit{{Insert, 2, "N", " n"}, {Insert, 0, "M", " m"}, {Delete, 1, "A", ""}},
			[]Edit{{Delete, 1, "A", ""}, {Insert, 0, "M", " m"}, {Insert, 2, "N", " n"}}},
		{"new fields at the end are adds",
			[]Edit{{Add, 0, "N", " n"}, {Insert, 5, "M", " m"}, {Delete, 1, "C", ""}},
			[]Edit{{Delete, 1, "C", ""}, {Add, 0, "M", " m"}, {Add, 0, "N", " n"}}},
		{"the hidden one follows, so not an add",
			[]Edit{{Delete, 1, "A", ""}, {Delete, 1, "A", ""}, {Delete, 1, "B", ""}, {Delete, 1, "C", ""}, {Insert, 0, "N", " n"}},
			[]Edit{{Delete, 1, "C", ""}, {Delete, 2, "a", ""}, {Delete, 1, "B", ""}, {Delete, 1, "A", ""}, {Insert, 0, "N", " n"}}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			h := New(header(lines...))
			h.Merge(forked(h, tt.edits...))
			if got := h.Script(); !slices.Equal(got, tt.want) {
				t.Errorf("script %v, want %v", got, tt.want)
			}
			checkScript(t, h)
		})
	}
}

// The Kelvin sign is three bytes that fold to a k in Unicode.
func TestNamesFoldOnlyASCII(t *testing.T) {
	h := New(header("X-\u212a: 1", "X-\xe9: 2"))
	h.Merge(forked(h, Edit{Change, 1, "x-k", " n"}, Edit{Change, 1, "x-\xc9", " m"}, Edit{Change, 1, "x-\xe9", " 3"}))
	want(t, h, "[hidden]", "X-\u212a: 1", "x-\xe9: 3", "x-k: n", "x-\xc9: m")
}

func TestUneditedHeaderIsTheSliceGiven(t *testing.T) {
	fields := header("A: 1", "B: 2")
	h := New(fields)
	h.Merge(forked(h))                           // no edit
	h.Merge(forked(h, Edit{Delete, 1, "N", ""})) // one that concerns nothing
	for _, got := range [][]Field{h.Fields(), h.Fork().Fields()} {
		if len(got) != 2 || &got[0] != &fields[0] {
			t.Errorf("fields were copied: %v", got)
		}
	}
	if h.Edited() || h.Script() != nil {
		t.Errorf("edited %v, script %v", h.Edited(), h.Script())
	}
}

func TestNoFieldsAtAll(t *testing.T) {
	h := New(nil)
	if len(h.Fields()) != 0 || h.Script() != nil {
		t.Errorf("fields %v, script %v", h.Fields(), h.Script())
	}
	h.Merge(forked(h, Edit{Insert, 1, "N", " n"}, Edit{Insert, 0, "M", " m"}))
	want(t, h, "M: m", "[hidden]", "N: n")

	var zero Header
	zero.Merge(forked(&zero, Edit{Add, 0, "N", ""}))
	want(t, &zero, "[hidden]", "N:")
}

func TestEmptyValueOfTheMTAIsKept(t *testing.T) {
	h := New(header("X-Empty:", "B: 2"))
	h.Merge(forked(h, Edit{Change, 1, "B", " x"}))
	want(t, h, "[hidden]", "X-Empty:", "B: x")
}

// TestSlicesHandedOutAreNeverChanged keeps every slice it gets and looks again at
// the end. The caller also appends, which must not show up anywhere else.
func TestSlicesHandedOutAreNeverChanged(t *testing.T) {
	h := New(header("A: 1", "B: 2", "C: 3"))
	type kept struct {
		fields []Field
		text   string
	}
	var all []kept
	keep := func(fields []Field) {
		all = append(all, kept{fields, text(fields)})
		_ = append(fields, Field{Name: []byte("Appended")})
	}
	for i := range 20 {
		f, dropped := h.Fork(), h.Fork()
		for _, e := range []Edit{
			{Insert, i, "N", fmt.Sprint(i)}, {Change, i, "N", "x"}, {Add, 0, "O", "y"}, {Delete, 2, "O", ""}, {Change, 1, "B", fmt.Sprint(i)},
		} {
			f.Apply(e)
			keep(f.Fields())
			dropped.Apply(Edit{Delete, 1, "N", ""})
		}
		keep(h.Fields())
		h.Merge(f)
		keep(h.Fields())
		keep(dropped.Fields())
	}
	h.Reset(header("Z: 0"))
	h.Merge(forked(h, Edit{Add, 0, "Y", "y"}))
	for i, k := range all {
		if text(k.fields) != k.text {
			t.Fatalf("slice %d has become\n%swas\n%s", i, text(k.fields), k.text)
		}
	}
}

func TestOriginalIsNotWrittenTo(t *testing.T) {
	fields := header("A: 1", "B: 2")
	before := text(fields)
	h := New(fields)
	h.Merge(forked(h, Edit{Change, 1, "A", " x"}, Edit{Delete, 1, "B", ""}, Edit{Insert, 1, "N", " n"}))
	_ = h.Fields()
	if text(fields) != before {
		t.Errorf("original is now\n%s", text(fields))
	}
}

func TestForkDoesNotSeeWhatIsMergedSince(t *testing.T) {
	h := New(header("A: 1"))
	early := h.Fork()
	h.Merge(forked(h, Edit{Delete, 1, "A", ""}, Edit{Add, 0, "N", " n"}))
	if got := text(early.Fields()); got != "A: 1\n" {
		t.Errorf("early fork sees\n%s", got)
	}
	early.Apply(Edit{Insert, 2, "M", " m"})
	early.Apply(Edit{Change, 1, "A", " x"})
	h.Merge(early)
	want(t, h, "[hidden]", "A: x", "N: n", "M: m")
}

func TestDroppedForkLeavesNoTrace(t *testing.T) {
	h := New(header("A: 1"))
	forked(h, Edit{Delete, 1, "A", ""}, Edit{Insert, 0, "N", " n"})
	want(t, h, "[hidden]", "A: 1")
	if h.Edited() {
		t.Error("edited")
	}
}

func TestResetStartsAnew(t *testing.T) {
	h := New(header("A: 1", "B: 2"))
	h.Merge(forked(h, Edit{Delete, 1, "A", ""}, Edit{Add, 0, "N", " n"}))
	h.Reset(header("C: 3"))
	if h.Edited() {
		t.Error("edited after Reset")
	}
	want(t, h, "[hidden]", "C: 3")
	h.Merge(forked(h, Edit{Insert, 1, "M", " m"}))
	want(t, h, "[hidden]", "M: m", "C: 3")
}

func TestMergeOfAForeignForkPanics(t *testing.T) {
	panics := func(rule string, do func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", rule)
			}
		}()
		do()
	}
	h := New(header("A: 1"))
	other := New(header("A: 1")).Fork()
	panics("of another header", func() { h.Merge(other) })
	stale := h.Fork()
	h.Reset(header("A: 1"))
	panics("of the last message", func() { h.Merge(stale) })
	twice := forked(h, Edit{Add, 0, "N", ""})
	h.Merge(twice)
	panics("merged twice", func() { h.Merge(twice) })
	panics("unknown kind", func() { h.Fork().Apply(Edit{Kind: 9}) })
}

// A filter that removes all forged Authentication-Results, from the last one up.
func TestThousandFieldsOfOneName(t *testing.T) {
	const n = 1000
	var fields []Field
	for i := range n {
		fields = append(fields, Field{Name: []byte("Authentication-Results"), Value: fmt.Appendf(nil, " %d", i)})
	}
	h := New(fields)
	f := h.Fork()
	for i := n; i > 0; i -= 2 {
		f.Apply(Edit{Delete, i, "authentication-results", ""})
	}
	h.Merge(f)
	if got := len(h.Fields()); got != n/2 {
		t.Errorf("%d fields left", got)
	}
	if got := len(h.Script()); got != n/2 {
		t.Errorf("%d edits", got)
	}
	checkScript(t, h)
}

// TestSearchGoesOnWhereTheLastOneEnded is for the mark: up, down, past the end,
// another name between, and an insert before it.
func TestSearchGoesOnWhereTheLastOneEnded(t *testing.T) {
	h := New(header("A: 1", "B: 1", "A: 2", "A: 3", "B: 2", "A: 4"))
	h.Merge(forked(h,
		Edit{Change, 3, "A", " c"}, Edit{Change, 1, "A", " a"}, Edit{Delete, 9, "A", ""}, Edit{Delete, 2, "A", ""},
		Edit{Change, 2, "B", " b"}, Edit{Insert, 0, "A", " n"}, Edit{Change, 4, "A", " d"}, Edit{Delete, 2, "A", ""}))
	want(t, h, "A: n", "[hidden]", "B: 1", "A: c", "B: b", "A: d")
}

func TestFieldsAreViews(t *testing.T) {
	value := bytes.Repeat([]byte("x"), 100<<10)
	h := New([]Field{{Name: []byte("Big"), Value: value}, {Name: []byte("B")}})
	h.Merge(forked(h, Edit{Delete, 1, "B", ""}))
	if got := h.Fields(); &got[0].Value[0] != &value[0] {
		t.Error("value was copied")
	}
}
