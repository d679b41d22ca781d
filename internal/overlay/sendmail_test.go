package overlay

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The model of Sendmail: its list of fields and its own three functions that edit
// it, told anew from sendmail/milter.c and sendmail/headers.c.

type sendmailModel []sendmailField

type sendmailField struct {
	name, value string
	null        bool // h_value is NULL
	user        bool // H_USER
	trace       bool // H_TRACE
}

func (f *sendmailField) sameName(name string) bool { return modelName(f.name) == modelName(name) }

func isTrace(name string) bool {
	return slices.Contains([]string{"received", "x400-received", "via", "mail-from"}, modelName(name))
}

// newSendmailModel is the list after the message was read: Sendmail's own fields,
// of which those lose their value that the message has itself.
func newSendmailModel(own []string, fields []Field) sendmailModel {
	var m sendmailModel
	for _, name := range own {
		has := slices.ContainsFunc(fields, func(f Field) bool { return modelName(string(f.Name)) == modelName(name) })
		m = append(m, sendmailField{name: name, value: " own", null: has && !isTrace(name), trace: isTrace(name)})
	}
	for _, f := range fields {
		m = append(m, sendmailField{name: string(f.Name), value: string(f.Value), user: true, trace: isTrace(string(f.Name))})
	}
	return m
}

// show is milter_headers: what a filter is sent, and what it forgets before.
func (m sendmailModel) show() string {
	var b strings.Builder
	for i := range m {
		f := &m[i]
		if f.null {
			f.user = false
		} else if f.user {
			b.WriteString(f.name + ":" + f.value + "\n")
		}
	}
	return b.String()
}

// written is what is delivered, with all of Sendmail's own.
func (m sendmailModel) written() string {
	var b strings.Builder
	for _, f := range m {
		if !f.null {
			b.WriteString(f.name + ":" + f.value + "\n")
		}
	}
	return b.String()
}

func (m *sendmailModel) apply(e Edit) {
	switch e.Kind {
	case Add:
		for i := range *m {
			if f := &(*m)[i]; f.sameName(e.Name) && !f.user && !f.trace {
				f.value, f.null, f.user = e.Value, false, true
				return
			}
		}
		m.addheader(e)
	case Insert:
		// The first of the list stands above position 0: insheader puts the
		// new one behind the one that it counts to.
		at := min(max(e.Index, 0)+1, len(*m))
		*m = slices.Insert(*m, at, m.field(e))
	default:
		m.changeheader(e)
	}
}

func (m *sendmailModel) field(e Edit) sendmailField {
	return sendmailField{name: e.Name, value: e.Value, user: true, trace: isTrace(e.Name)}
}

func (m *sendmailModel) addheader(e Edit) {
	at := slices.IndexFunc(*m, func(f sendmailField) bool { return f.sameName(e.Name) })
	if at < 0 {
		at = len(*m)
	}
	*m = slices.Insert(*m, at, m.field(e))
}

func (m *sendmailModel) changeheader(e Edit) {
	var found, own *sendmailField
	index := e.Index
	for i := range *m {
		f := &(*m)[i]
		if !f.sameName(e.Name) {
			continue
		}
		if f.user {
			if index--; index <= 0 {
				found = f
				break
			}
		} else if !f.trace {
			own = f
		}
	}
	if found == nil {
		found = own
	}
	remove := e.Kind == Delete || e.Value == ""
	switch {
	case found == nil && !remove:
		m.addheader(e)
	case found == nil:
	case remove:
		found.value, found.null = "", true
	default:
		found.value, found.null, found.user = e.Value, false, true
	}
}

// sendmailNames are names of the message's, of Sendmail's own and of both.
var sendmailNames = []string{"A", "a", "B", "C", "Received", "Date", "message-id", "From", "Resent-From"}

func (t *tape) sendmailFields() []Field {
	var fields []Field
	for range t.choose(10) {
		fields = append(fields, Field{Name: []byte(sendmailNames[t.choose(len(sendmailNames))]), Value: []byte(values[t.choose(len(values))])})
	}
	return fields
}

// ownFields are those of Sendmail's standard configuration.
var ownFields = []string{"Return-Path", "Received", "Resent-Date", "Date", "Resent-From", "From", "Full-Name", "Resent-Message-Id", "Message-Id"}

// checkSendmail has filters edit one after the other: each must see what it would
// see behind Sendmail, and the script of all must leave what they would.
func checkSendmail(t *testing.T, h *SendmailHeader, in tape) {
	fields := in.sendmailFields()
	h.Reset(fields)
	direct := newSendmailModel(ownFields, fields)
	var log []string
	for len(in) > 0 {
		if got, want := text(h.Fields()), direct.show(); got != want {
			t.Fatalf("%s of\n%sthe next filter is shown:\n%swant:\n%s", log, text(fields), got, want)
		}
		var edits []Edit
		for range in.choose(6) {
			e := Edit{Kind(in.choose(4)), in.choose(18) - 1, sendmailNames[in.choose(len(sendmailNames))], values[in.choose(len(values))]}
			edits = append(edits, e)
			direct.apply(e)
			log = append(log, describe(e))
		}
		log = append(log, "/")
		h.Apply(edits)

		behind := newSendmailModel(ownFields, fields)
		behind.show()
		for _, e := range h.Script() {
			behind.apply(e)
		}
		if behind.written() != direct.written() {
			t.Fatalf("%s of\n%sscript %v gives:\n%swant:\n%s", log, text(fields), h.Script(), behind.written(), direct.written())
		}
	}
}

func describe(e Edit) string {
	return [...]string{"add", "insert", "change", "delete"}[e.Kind] + "(" + strings.Join([]string{string(rune('0' + e.Index)), e.Name, e.Value}, ",") + ")"
}

func TestRandomEditsAgreeWithSendmail(t *testing.T) {
	rounds := 4000
	if testing.Short() {
		rounds = 500
	}
	r := rand.New(rand.NewPCG(3, 4))
	var h SendmailHeader
	for range rounds {
		checkSendmail(t, &h, randomTape(r, r.IntN(80)))
	}
}

func FuzzSendmail(f *testing.F) {
	for seed := range uint64(8) {
		f.Add([]byte(randomTape(rand.New(rand.NewPCG(seed, 2)), 80)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var h SendmailHeader
		checkSendmail(t, &h, in[:min(len(in), 500)])
	})
}

// The positions of a script are only as good as the knowledge of Sendmail's own
// fields. One edit comes out right however many of those it is configured with.
func TestOneEditIsIndependentOfSendmailsOwnFields(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	bare := []string{"A", "B", "X-K"}
	for range 2000 {
		in := randomTape(r, 60)
		fields := in.fields()
		var h SendmailHeader
		h.Reset(fields)
		own := append(slices.Clone(ownFields), "X-Site", "X-Other-Site")[:2+in.choose(10)]
		direct, behind := newSendmailModel(own, fields), newSendmailModel(own, fields)
		direct.show()
		behind.show()
		e := Edit{Kind(in.choose(4)), in.choose(len(presets) + 1 + len(fields)), bare[in.choose(len(bare))], " " + values[in.choose(len(values))]}
		direct.apply(e)
		h.Apply([]Edit{e})
		for _, e := range h.Script() {
			behind.apply(e)
		}
		if behind.written() != direct.written() {
			t.Fatalf("%v of\n%sscript %v gives:\n%swant:\n%s", e, text(fields), h.Script(), behind.written(), direct.written())
		}
	}
}

// TestEditsApplyAsSendmailDoes has one row a rule. The edits of each row are one
// filter's, or two filters' where there are two lists.
func TestEditsApplyAsSendmailDoes(t *testing.T) {
	fields := header("A: 1", "B: 2", "A: 3")
	tests := []struct {
		rule    string
		filters [][]Edit
		want    []string
	}{
		{"an add of a new name goes to the end", [][]Edit{{{Add, 0, "N", " n"}}}, []string{"A: 1", "B: 2", "A: 3", "N: n"}},
		{"an add of a known name goes before the first", [][]Edit{{{Add, 0, "B", " n"}}}, []string{"A: 1", "B: n", "B: 2", "A: 3"}},
		{"an add fills Sendmail's own field", [][]Edit{{{Add, 0, "Date", " n"}}}, []string{"Date: n", "A: 1", "B: 2", "A: 3"}},
		{"an add fills what a filter before has deleted", [][]Edit{{{Delete, 2, "A", ""}}, {{Add, 0, "A", " n"}}}, []string{"A: 1", "B: 2", "A: n"}},
		{"a filter's own deletes count", [][]Edit{{{Delete, 1, "A", ""}, {Delete, 2, "A", ""}}}, []string{"B: 2"}},
		{"deletes of filters before do not count", [][]Edit{{{Delete, 1, "A", ""}}, {{Delete, 2, "A", ""}}}, []string{"B: 2", "A: 3"}},
		{"a deleted field can be changed back", [][]Edit{{{Delete, 1, "A", ""}, {Change, 1, "A", " n"}}}, []string{"A: n", "B: 2", "A: 3"}},
		{"a change keeps the spelling of the name", [][]Edit{{{Change, 2, "a", " n"}}}, []string{"A: 1", "B: 2", "A: n"}},
		{"a change beyond the last is an add", [][]Edit{{{Change, 3, "A", " n"}}}, []string{"A: n", "A: 1", "B: 2", "A: 3"}},
		{"positions count Sendmail's own fields", [][]Edit{{{Insert, 3, "N", " n"}}}, []string{"N: n", "A: 1", "B: 2", "A: 3"}},
		{"positions count deleted fields", [][]Edit{{{Delete, 1, "A", ""}, {Insert, 9, "N", " n"}}}, []string{"N: n", "B: 2", "A: 3"}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var h SendmailHeader
			h.Reset(fields)
			for _, edits := range test.filters {
				h.Apply(edits)
			}
			want := strings.Join(test.want, "\n") + "\n"
			if got := text(h.Fields()); got != want {
				t.Errorf("fields:\n%swant:\n%s", got, want)
			}
		})
	}
}

// TestSendmailTogether has two filters edit the same header at the same time.
func TestSendmailTogether(t *testing.T) {
	fields := header("A: 1", "B: 2", "A: 3")
	tests := []struct {
		rule          string
		first, second []Edit
		want          []string
	}{
		{"numbers are those that each filter saw", []Edit{{Delete, 1, "A", ""}}, []Edit{{Change, 2, "A", " x"}}, []string{"B: 2", "A: x"}},
		{"of two changes of a field the later counts", []Edit{{Change, 1, "B", " x"}}, []Edit{{Change, 1, "B", " y"}}, []string{"A: 1", "B: y", "A: 3"}},
		{"both delete one field", []Edit{{Delete, 2, "A", ""}}, []Edit{{Delete, 2, "A", ""}}, []string{"A: 1", "B: 2"}},
		{"the later of two inserts at a place is above", []Edit{{Insert, 9, "N", " n"}}, []Edit{{Insert, 9, "M", " m"}}, []string{"A: 1", "M: m", "N: n", "B: 2", "A: 3"}},
		{"the later of two adds of a name is above", []Edit{{Add, 0, "N", " n"}}, []Edit{{Add, 0, "N", " m"}}, []string{"A: 1", "B: 2", "A: 3", "N: m", "N: n"}},
		{"adds of two names come in order", []Edit{{Add, 0, "N", " n"}}, []Edit{{Add, 0, "M", " m"}}, []string{"A: 1", "B: 2", "A: 3", "N: n", "M: m"}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var h SendmailHeader
			h.Reset(fields)
			h.Apply(test.first, test.second)
			want := strings.Join(test.want, "\n") + "\n"
			if got := text(h.Fields()); got != want {
				t.Errorf("fields:\n%swant:\n%s", got, want)
			}
			m := newSendmailModel(ownFields, fields)
			for _, e := range h.Script() {
				m.apply(e)
			}
			if got := m.show(); got != want {
				t.Errorf("script %v gives:\n%swant:\n%s", h.Script(), got, want)
			}
		})
	}
}
