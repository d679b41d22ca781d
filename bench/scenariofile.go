package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/milterkit/sdk/internal/nearest"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// Bounds of what a scenario can ask for: more is a slip.
const (
	MaxSessions   = 10_000 // at one time
	maxChildren   = 100
	maxMessages   = 10_000
	maxRecipients = 10_000
	maxFields     = 1_000
	maxMail       = 1 << 30 // bytes
	usualFields   = 12      // of the header of a mail that does not say
	usualHeader   = 1 << 10 // bytes
)

// ReadScenario reads a file. The error is a tomlfile.Errors with all that is
// wrong with it.
func ReadScenario(file string) (Scenario, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return Scenario{}, tomlfile.Errors{{File: file, Message: "the scenario cannot be read: " + err.Error()}}
	}
	return ParseScenario(file, data)
}

// ParseScenario is ReadScenario for a file that has been read already; file is
// its name in messages.
func ParseScenario(file string, data []byte) (Scenario, error) {
	r := &scenarioReader{file: file, s: Scenario{
		Name:     strings.TrimSuffix(filepath.Base(file), ".toml"),
		Messages: 1,
		Sessions: []int{8},
		Children: []int{1},
		Kinds:    []string{"remote"},
		Together: []bool{false},
		Known:    slices.Clone(Mails),
	}}
	if root := tomlfile.Parse(data, r.report); root != nil {
		r.read(root)
	}
	if len(r.errs) > 0 {
		r.errs.Sort()
		return Scenario{}, r.errs
	}
	return r.s, nil
}

// scenarioReader turns a document into a Scenario, and collects what is wrong
// with it.
type scenarioReader struct {
	file string
	s    Scenario
	errs tomlfile.Errors
}

func (r *scenarioReader) report(at tomlfile.Place, message string) {
	r.errs = append(r.errs, &tomlfile.Error{File: r.file, Line: at.Line, Column: at.Column, Message: message})
}

// A scenarioKey is one that a table knows, and what is done with its value.
type scenarioKey struct {
	name string
	set  func(*tomlfile.Field)
}

// one returns the setter that reads a value into v.
func one[T any](r *scenarioReader, v *T, read func(*tomlfile.Value) (T, error)) func(*tomlfile.Field) {
	return func(f *tomlfile.Field) {
		got, err := read(f.Val)
		if err != nil {
			r.report(f.Val.At, f.Name+": "+err.Error())
			return
		}
		*v = got
	}
}

// list returns the setter that reads a value, or a list of values, into v.
// Twice the same would be two contests that are one; a mix is free to have it.
func list[T any](r *scenarioReader, v *[]T, twice bool, read func(*tomlfile.Value) (T, error)) func(*tomlfile.Field) {
	return func(f *tomlfile.Field) {
		items := []*tomlfile.Value{f.Val}
		if f.Val.Kind == tomlfile.IsArray {
			items = f.Val.Items
		}
		if len(items) == 0 {
			r.report(f.Val.At, f.Name+": the list is empty, so nothing would be measured; leave the key out, or write values")
		}
		*v = nil
		var texts []string
		for _, item := range items {
			got, err := read(item)
			if err == nil && !twice && slices.Contains(texts, item.Text) {
				err = fmt.Errorf("%s is in the list twice", item.Text)
			}
			if err != nil {
				r.report(item.At, f.Name+": "+err.Error())
				continue
			}
			*v, texts = append(*v, got), append(texts, item.Text)
		}
	}
}

// table takes in the keys of one table.
func (r *scenarioReader) table(where string, t *tomlfile.Value, keys []scenarioKey) {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	for _, f := range t.Fields {
		i := slices.Index(names, f.Name)
		if i >= 0 {
			keys[i].set(f)
			continue
		}
		near := nearest.DidYouMean(f.Name, names)
		if near == "" {
			near = "; there are " + strings.Join(names, ", ")
		}
		r.report(f.At, fmt.Sprintf("unknown key %q%s%s", f.Name, where, near))
	}
}

// read takes in the whole document: its own mails first, since the rest names
// them.
func (r *scenarioReader) read(root *tomlfile.Value) {
	if f := root.Field("mails"); f != nil {
		r.mails(f)
	}
	text := func(s string) (string, error) { return s, nil }
	mail := tomlfile.Text("short", func(name string) (Mail, error) { return MailNamed(r.s.Known, name) })
	r.table("", root, []scenarioKey{
		{"about", one(r, &r.s.About, tomlfile.Text("what it is for", text))},
		{"mail", list(r, &r.s.Mails, false, mail)},
		{"mix", list(r, &r.s.Mix, true, mail)},
		{"messages", one(r, &r.s.Messages, count(maxMessages))},
		{"sessions", list(r, &r.s.Sessions, false, count(MaxSessions))},
		{"children", list(r, &r.s.Children, false, count(maxChildren))},
		{"kind", list(r, &r.s.Kinds, false, tomlfile.Text("remote", parseKind))},
		{"delay", one(r, &r.s.Delay, tomlfile.Text("5ms", parseDelay))},
		{"together", list(r, &r.s.Together, false, tomlfile.Bool)},
		{"silent", one(r, &r.s.Silent, tomlfile.Bool)},
		{"mails", func(*tomlfile.Field) {}},
	})
	r.whole(root)
}

// whole looks at the keys beside each other.
func (r *scenarioReader) whole(root *tomlfile.Value) {
	mail, mix := root.Field("mail"), root.Field("mix")
	switch {
	case mail == nil && mix == nil:
		r.report(tomlfile.Place{Line: 1, Column: 1}, `nothing is played; add mail = "short", or a list of mails`)
	case mail != nil && mix != nil:
		r.report(mix.At, fmt.Sprintf("mix: a scenario has either mail (line %d) or mix, not both", mail.At.Line))
	}
	if len(r.errs) > 0 {
		return // what follows from a mistake is none of its own
	}
	children, kind := root.Field("children"), root.Field("kind")
	least, most := slices.Min(r.s.Children), slices.Max(r.s.Children)
	if slices.Contains(r.s.Kinds, "mixed") && least < 2 {
		r.report(kind.At, "kind: of mixed children there are at least 2; write children = 2 or more")
	}
	if slices.Contains(r.s.Kinds, "native") && r.s.Silent {
		r.report(root.Field("silent").At, `silent: native children are not asked over a socket; silent goes with kind = "remote"`)
	}
	if together := root.Field("together"); slices.Contains(r.s.Together, true) && most < 2 {
		at := together.At
		if children != nil {
			at = children.At
		}
		r.report(at, "together: one child has none that it could run together with; write children = 2 or more")
	}
	if all := time.Duration(most) * r.s.Delay; all >= sayTimeout {
		r.report(root.Field("delay").At, fmt.Sprintf("delay: %s taking %v each take %v, and a session waits %v for an answer", plural(most, "child"), r.s.Delay, all, sayTimeout))
	}
}

// mails takes in the mails of the scenario's own.
func (r *scenarioReader) mails(f *tomlfile.Field) {
	if f.Val.Kind != tomlfile.IsTables {
		r.report(f.At, "each mail is a section of its own that begins with [[mails]], in double brackets")
		return
	}
	for _, t := range f.Val.Items {
		m := Mail{Fields: usualFields, Header: usualHeader, Recipients: 1}
		faults := len(r.errs)
		r.table(" in [[mails]]", t, []scenarioKey{
			{"name", one(r, &m.Name, tomlfile.Text("newsletter", r.newName))},
			{"fields", one(r, &m.Fields, count(maxFields))},
			{"header", one(r, &m.Header, tomlfile.Text("2KB", parseBytes))},
			{"body", one(r, &m.Body, tomlfile.Text("40KB", parseBytes))},
			{"recipients", one(r, &m.Recipients, count(maxRecipients))},
		})
		for _, name := range []string{"name", "body"} {
			if t.Field(name) == nil {
				r.report(t.At, fmt.Sprintf("this mail has no %s; add %s = …", name, name))
			}
		}
		if len(r.errs) == faults {
			r.possible(t, m)
		}
		if f := t.Field("name"); f != nil {
			m.Name = f.Val.Text
		}
		if m.Name != "" {
			r.s.Known = append(r.s.Known, m) // a wrong one too, so that who names it is not wrong as well
		}
	}
}

// possible reports a header that cannot be as it is described.
func (r *scenarioReader) possible(t *tomlfile.Value, m Mail) {
	at := func(name string) tomlfile.Place {
		if f := t.Field(name); f != nil {
			return f.At
		}
		return t.At
	}
	least := Mail{Fields: m.Fields}.header()
	if m.Fields < len(least) {
		r.report(at("fields"), fmt.Sprintf("fields: a mail has at least %d, From, To and Date among them", len(least)))
		return
	}
	size := 0
	for _, f := range least {
		size += len(f[0]) + len(":") + len(f[1]) + len("\r\n")
	}
	if m.Header < size {
		r.report(at("header"), fmt.Sprintf("header: %d fields take at least %d bytes, not %d", m.Fields, size, m.Header))
	}
}

// newName reads the name of a mail that there is not yet.
func (r *scenarioReader) newName(name string) (string, error) {
	if name == "" || benchWord(name) != name || strings.Contains(name, "+") {
		return "", fmt.Errorf(`%q is not a name; it has letters, digits, dots and dashes, such as "newsletter"`, name)
	}
	for _, m := range r.s.Known {
		if m.Name == name {
			return "", fmt.Errorf("there is a mail %q already; give this one another name", name)
		}
	}
	return name, nil
}

// count returns the reader of a number from 1 to most.
func count(most int) func(*tomlfile.Value) (int, error) {
	return func(v *tomlfile.Value) (int, error) {
		if v.Kind != tomlfile.IsInteger {
			return 0, fmt.Errorf("this is %s; write a whole number, without quotes", v.Kind)
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 64)
		if err != nil || n < 1 || n > int64(most) {
			return 0, fmt.Errorf("%s is not possible; write a number from 1 to %d", v.Text, most)
		}
		return int(n), nil
	}
}

// kinds are what children can be.
var kinds = []string{"remote", "native", "mixed"}

func parseKind(word string) (string, error) {
	if slices.Contains(kinds, word) {
		return word, nil
	}
	if near := nearest.DidYouMean(word, kinds); near != "" {
		return "", fmt.Errorf("%q is unknown%s", word, near)
	}
	return "", fmt.Errorf("%q is unknown; there are %s", word, strings.Join(kinds, ", "))
}

func parseDelay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if _, bare := strconv.ParseUint(text, 10, 32); bare == nil {
		return 0, fmt.Errorf("%q has no unit; for milliseconds write %q", text, text+"ms")
	}
	if err != nil {
		return 0, fmt.Errorf(`%q is not a time; write a number with the unit s, ms or us, such as "5ms"`, text)
	}
	if d <= 0 {
		return 0, fmt.Errorf("a delay is more than 0, %q is not; without one leave the key out", text)
	}
	return d, nil
}

// parseBytes reads "40KB", "1MB" or "300B"; 1 KB is 1024 bytes, as for Mails.
func parseBytes(text string) (int, error) {
	number := strings.TrimRight(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	factor := map[string]int{"B": 1, "KB": 1 << 10, "MB": 1 << 20}[strings.ToUpper(text[len(number):])]
	n, err := strconv.Atoi(strings.TrimSpace(number))
	switch {
	case factor == 0 || err != nil || n < 0:
		return 0, fmt.Errorf(`%q is not a size; write a whole number with the unit B, KB or MB, such as "40KB"`, text)
	case n > maxMail/factor:
		return 0, fmt.Errorf("%q is too much; a mail has at most %dMB", text, maxMail>>20)
	}
	return n * factor, nil
}
