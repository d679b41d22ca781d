// Package action has the words by which options say what becomes of a message, the
// errors about options, and which clients the checks of a sender pass over.
package action

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// What can become of a message.
const (
	None       = "none"       // it goes on
	Reject     = "reject"     // refused for good
	TempFail   = "tempfail"   // refused for now
	Quarantine = "quarantine" // it goes on, and is held by the MTA
)

// Check returns an error where the value of an option is none of the words that are
// allowed.
func Check(option, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return Errorf(option, "%q is no action; write %s", value, words(allowed))
}

// words lists words: "a", "b" or "c".
func words(list []string) string {
	quoted := make([]string, len(list))
	for i, w := range list {
		quoted[i] = `"` + w + `"`
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// Errorf returns an error about one option, which the daemon tells with its place in
// the configuration file.
func Errorf(option, format string, args ...any) error {
	return &optionError{option, fmt.Errorf(format, args...)}
}

// Wrap is Errorf for an error that there is already, or nil.
func Wrap(option string, err error) error {
	if err == nil {
		return nil
	}
	return &optionError{option, err}
}

type optionError struct {
	option string
	err    error
}

func (e *optionError) Error() string  { return e.option + ": " + e.err.Error() }
func (e *optionError) Unwrap() error  { return e.err }
func (e *optionError) Option() string { return e.option }

// Outside returns the address of a client whose right to use a sender's name is to
// be checked: one on an IP network, that has not authenticated, is not this host,
// and is in none of the networks to skip.
func Outside(s *milterkit.Session, skip []netip.Prefix) (addr netip.Addr, ok bool) {
	addr = s.Client().Addr().Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() || s.AuthUser() != "" {
		return addr, false
	}
	return addr, !slices.ContainsFunc(skip, func(p netip.Prefix) bool { return p.Contains(addr) })
}
