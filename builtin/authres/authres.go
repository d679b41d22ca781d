// Package authres reads, writes and guards Authentication-Results fields (RFC
// 8601): what filters tell each other, and the reader, about a message's sender.
//
// A field is believed where a child before this one has added it; milterkit knows
// that. One that came with the message and bears our own name is forged.
package authres

import (
	"fmt"
	"os"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/fieldname"
	"github.com/milterkit/sdk/milterkit"
)

// FieldName is the name of the header field.
const FieldName = "Authentication-Results"

// A Result is what one method has found out.
type Result struct {
	Method  string // "spf", "dkim", "dmarc"; in small letters
	Value   string // "pass", "fail", "none", ...; in small letters
	Comment string // for the reader, in parentheses; it must not be relied on
	Reason  string // "" where there is none
	Props   []Property
}

// A Property is something that a result is about: header.d=example.org.
type Property struct{ Type, Name, Value string }

// Prop returns the value of a property, "" where there is none: r.Prop("header",
// "d").
func (r Result) Prop(ptype, name string) string {
	for _, p := range r.Props {
		if strings.EqualFold(p.Type, ptype) && strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// ID returns the authserv-id: the configured one, or the name of the MTA, or that of
// this host.
func ID(configured string, s *milterkit.Session) string {
	if configured != "" {
		return configured
	}
	if name := s.MTAName(); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// CheckID returns an error where a name cannot be an authserv-id as it stands, so that
// others would not find it. "" can.
func CheckID(id string) error {
	for i := range len(id) {
		if !isToken(id[i]) || len(id) > maxText {
			return fmt.Errorf("%q is not the name of a server; write one such as \"mx.example.org\"", id)
		}
	}
	return nil
}

// RemoveForged deletes the fields that claim to be of id and came with the message,
// also those that cannot be parsed. What children before this one have added stays.
func RemoveForged(m *milterkit.Message, e *milterkit.Edits, id string) {
	var forged []int // of the fields of that name, from 1
	n := 0
	for _, f := range m.Header() {
		if !fieldname.Is(f, FieldName) {
			continue
		}
		if n++; !f.Added && Claims(string(f.Value), id) {
			forged = append(forged, n)
		}
	}
	for i := len(forged) - 1; i >= 0; i-- { // from the last: deleting moves those behind
		e.DeleteHeader(FieldName, forged[i])
	}
}

// Added returns the results of a method in the fields of id that children before
// this one have added, in the order of the header.
func Added(m *milterkit.Message, id, method string) []Result {
	var list []Result
	for _, f := range m.Header() {
		if !f.Added || !fieldname.Is(f, FieldName) {
			continue
		}
		of, results, err := Parse(string(f.Value))
		if err != nil || !strings.EqualFold(of, id) {
			continue
		}
		for _, r := range results {
			if r.Method == method {
				list = append(list, r)
			}
		}
	}
	return list
}
