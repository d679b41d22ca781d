package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/internal/nearest"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// A Macro is one of a milter's own: a line of [milter.macros].
type Macro struct {
	Name      string  // as it is sent: "i", "{if_addr}"
	Value     string  // where When holds
	When      string  // a condition that compiles; empty: it always holds
	Otherwise *string // the value where When does not hold; nil: the macro is not sent
	From      Origin
}

// maxMacroValue bounds the value of a macro, in bytes.
const maxMacroValue = 512

// macros takes in the section [milter.macros].
func (l *loader) macros(m *Milter) func(*tomlfile.Field) {
	return func(f *tomlfile.Field) {
		if f.Val.Kind != tomlfile.IsTable {
			l.report(f.Val.At, fmt.Sprintf(`macros: this is %s; write a section of its own, [milter.macros], with lines such as "{if_name}" = "mx.example.org"`, f.Val.Kind))
			return
		}
		for _, f := range f.Val.Fields {
			name, err := macroName(f.Name)
			if err != nil {
				l.report(f.At, "macros: "+err.Error())
				continue
			}
			for _, other := range m.Macros {
				if other.Name == name {
					l.report(f.At, fmt.Sprintf("macros: %s is set a second time; the first is in line %d", name, other.From.Line))
				}
			}
			macro := Macro{Name: name, From: l.origin(f.At)}
			l.macroValue(&macro, f.Val)
			m.Macros = append(m.Macros, macro)
		}
	}
}

// macroName gives a name the braces that MTAs send it with.
func macroName(name string) (string, error) {
	bare := name
	if len(name) > 2 && name[0] == '{' && name[len(name)-1] == '}' {
		bare = name[1 : len(name)-1]
	}
	switch {
	case bare == "" || len(bare) > 64 || strings.ContainsFunc(bare, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(",{}", r) }):
		return "", fmt.Errorf(`%q is not the name of a macro; write it as the MTA does, such as "{if_name}"`, name)
	case len(bare) == 1:
		return bare, nil
	}
	return "{" + bare + "}", nil
}

// macroValue reads a text, or a table of value, when and else.
func (l *loader) macroValue(m *Macro, v *tomlfile.Value) {
	read := func(v *tomlfile.Value) string {
		text, err := tomlfile.Text("yes", parseMacroValue)(v)
		if err != nil {
			l.report(v.At, m.Name+": "+err.Error())
		}
		return text
	}
	if v.Kind != tomlfile.IsTable {
		m.Value = read(v)
		return
	}
	keys := []string{"value", "when", "else"}
	for _, f := range v.Fields {
		switch f.Name {
		case "value":
			m.Value = read(f.Val)
		case "else":
			text := read(f.Val)
			m.Otherwise = &text
		case "when":
			m.When, _ = l.readWhen(f.Val, nil)
		default:
			l.report(f.At, fmt.Sprintf("%s: unknown key %q%s", m.Name, f.Name, nearest.DidYouMean(f.Name, keys)))
		}
	}
	switch {
	case v.Field("value") == nil:
		l.report(v.At, m.Name+`: it has no value; write { value = "yes", when = "trusted" }`)
	case v.Field("else") != nil && v.Field("when") == nil:
		l.report(v.Field("else").At, m.Name+": else is for a macro with a condition, when")
	}
}

func parseMacroValue(text string) (string, error) {
	switch {
	case len(text) > maxMacroValue:
		return "", fmt.Errorf("the value of a macro has %d bytes at most, this one has %d", maxMacroValue, len(text))
	case strings.ContainsFunc(text, isControl):
		return "", errors.New("the value of a macro has no control characters")
	}
	return text, nil
}

// macroSettings are the lines of [milter.macros].
func (m *Milter) macroSettings() section {
	var out section
	for _, macro := range m.Macros {
		var value any = macro.Value
		if macro.When != "" {
			table := map[string]any{"value": macro.Value, "when": macro.When}
			if macro.Otherwise != nil {
				table["else"] = *macro.Otherwise
			}
			value = table
		}
		out = append(out, setting{macro.Name, value, macro.From})
	}
	return out
}

// readShare reads what part of all: more than 0, at most 1.
func readShare(v *tomlfile.Value) (float64, error) {
	share, err := strconv.ParseFloat(strings.ReplaceAll(v.Text, "_", ""), 64)
	switch {
	case v.Kind != tomlfile.IsFloat && v.Kind != tomlfile.IsInteger:
		return 0, fmt.Errorf("this is %s; write a number, without quotes, such as 0.1 for a tenth", v.Kind)
	case err != nil || !(share > 0 && share <= 1):
		return 0, fmt.Errorf("%s is no share of the sessions; write a number above 0 and up to 1, such as 0.1 for a tenth", v.Text)
	}
	return share, nil
}
