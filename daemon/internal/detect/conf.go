package detect

import "strings"

// readSettings reads a configuration of the simple kind that most filters have:
// KEY VALUE, KEY = VALUE or KEY: VALUE, with comments behind #. Keys are returned in
// small letters. There is no such thing as a mistake: what does not look like a
// setting is none.
func readSettings(file, text string) []line {
	var all []line
	for i, row := range strings.Split(text, "\n") {
		row = strings.TrimSpace(row)
		if row == "" || row[0] == '#' || row[0] == ';' {
			continue
		}
		n := strings.IndexAny(row, " \t=")
		if n < 0 {
			n = len(row)
		}
		key := strings.TrimSuffix(row[:n], ":")
		value := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(row[n:]), "="))
		all = append(all, line{key: strings.ToLower(key), text: plain(value), at: Place{file, i + 1}})
	}
	return all
}

// plain is a value without its quotes and the comment behind it.
func plain(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
			return value[1 : 1+end]
		}
	}
	for _, mark := range []string{" #", "\t#"} {
		value, _, _ = strings.Cut(value, mark)
	}
	return strings.TrimSpace(value)
}

// last returns the setting of that key which counts.
func last(settings []line, key string) (line, bool) {
	for i := len(settings) - 1; i >= 0; i-- {
		if settings[i].key == key {
			return settings[i], true
		}
	}
	return line{}, false
}
