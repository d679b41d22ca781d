package tomlfile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Literal writes a value as it stands in a file: a string, bool, integer or
// float64, or a []string, []any or map[string]any of these.
func Literal(v any) string {
	switch v := v.(type) {
	case string:
		return quoted(v)
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if strings.Trim(text, "-0123456789") == "" {
			text += ".0"
		}
		return text
	case []string:
		items := make([]any, len(v))
		for i := range v {
			items[i] = v[i]
		}
		return Literal(items)
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = Literal(v[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			items = append(items, quoted(key)+" = "+Literal(v[key]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// quoted writes a basic string.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case isControl(r):
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
