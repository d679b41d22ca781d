package tomlfile

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// This file finds the Place of a byte of a string's value in the file, where it
// may be written as an escape, or lines further down.

// PlaceOf returns where the byte at offset of a string's value stands in the
// file; that of its length is where it ends.
func (v *Value) PlaceOf(offset int) Place {
	before := v.raw[:rawOffset(v.raw, offset)]
	if line := bytes.LastIndexByte(before, '\n'); line >= 0 {
		return Place{v.At.Line + bytes.Count(before, []byte{'\n'}), len(before) - line}
	}
	return Place{v.At.Line, v.At.Column + len(before)}
}

// rawOffset returns where in raw, a string as TOML writes it, quotes included,
// the byte at offset of its value stands.
func rawOffset(raw []byte, offset int) int {
	quote, quotes := raw[:1], 1
	if len(raw) >= 6 && raw[1] == raw[0] {
		quotes = 3
	}
	i, end := quotes, len(raw)-quotes
	if quotes == 3 { // a line break right behind the quotes is not meant
		if bytes.HasPrefix(raw[i:], []byte("\r\n")) {
			i++
		}
		if raw[i] == '\n' {
			i++
		}
	}
	for i < end {
		from, to := 1, 1 // bytes in raw, bytes in the value
		if quote[0] == '"' && raw[i] == '\\' {
			from, to = escape(raw[i:end])
		}
		if offset < to {
			break
		}
		i, offset = i+from, offset-to
	}
	return i
}

// escape returns how long the escape is that raw begins with, and what it stands
// for. The parser has taken it already, so it is a right one.
func escape(raw []byte) (from, to int) {
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[raw[1]]
	switch {
	case digits > 0:
		r, _ := strconv.ParseUint(string(raw[2:2+digits]), 16, 32)
		return 2 + digits, utf8.RuneLen(rune(r))
	case bytes.IndexByte([]byte(" \t\r\n"), raw[1]) >= 0: // a line goes on in the next
		rest := bytes.TrimLeft(raw[1:], " \t\r\n")
		return len(raw) - len(rest), 0
	}
	return 2, 1
}
