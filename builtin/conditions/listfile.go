package conditions

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/milterkit/sdk/builtin/internal/domain"
)

// Bounds of a list: of the file, in bytes, and of the lines that an error names.
const (
	maxList   = 64 << 20
	maxFaults = 10
)

// readEntries reads a list.
func readEntries(path string) (*entries, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // never waits for the other end of a pipe
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxList+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxList {
		return nil, fmt.Errorf("%s has more than %d MiB", path, maxList>>20)
	}
	e := &entries{names: map[string]bool{}, networks: map[netip.Prefix]struct{}{}}
	var faults []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		entry := withoutComment(line)
		if entry == "" {
			continue
		}
		if err := e.add(entry); err != nil {
			if faults = append(faults, fmt.Errorf("%s:%d: %w", path, number, err)); len(faults) == maxFaults {
				break
			}
		}
	}
	return e, errors.Join(faults...)
}

// withoutComment returns what a line has. A # within a word is part of it.
func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			line = line[:i]
			break
		}
	}
	return strings.TrimSpace(line)
}

// add takes in one entry.
func (e *entries) add(text string) error {
	switch {
	case strings.ContainsAny(text, "<>"):
		return fmt.Errorf("%.100q: addresses stand without angle brackets", text)
	case strings.Contains(text, "@"):
		return e.addAddress(strings.ToLower(text))
	case strings.Contains(text, "/"), strings.Contains(text, ":"), numeric(text):
		p, err := ParseNetwork(text)
		if err != nil {
			return err
		}
		e.addNetwork(p)
		return nil
	}
	name, below := strings.CutPrefix(text, ".")
	ascii, err := domain.ASCII(name)
	if err != nil || strings.Contains(name, "*") {
		return fmt.Errorf(`%.100q is neither a domain ("example.org", ".example.org" with all below it), an address ("bob@example.org") nor a network ("192.0.2.0/24")`, text)
	}
	e.names[ascii] = e.names[ascii] || below
	return nil
}

func (e *entries) addAddress(text string) error {
	at := strings.LastIndexByte(text, '@')
	if at == 0 {
		return fmt.Errorf("%.100q: all addresses of a domain are written %q", text, text[1:])
	}
	name, err := domain.ASCII(text[at+1:])
	if err != nil || strings.ContainsAny(text[:at], " \t") {
		return fmt.Errorf(`%.100q is not an address; write one such as "bob@example.org"`, text)
	}
	e.names[text[:at+1]+name] = false
	return nil
}

// numeric reports whether a text can only be meant to be an IPv4 address: its last
// part is a number.
func numeric(text string) bool {
	last := text[strings.LastIndexByte(text, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}
