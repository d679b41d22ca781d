package replay

import (
	"path"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A Strip says what is taken off a message before it goes past the milters.
type Strip struct {
	// AsReceived takes off what came on top when the message was received and
	// delivered: all down to the Received field that tells of the client. That one
	// is the mail server's own again, which no milter is shown. Of those below it the
	// Authentication-Results of that server go too. Without such a Received only the
	// fields that a delivery adds go.
	AsReceived bool

	// Fields are names of further ones: "X-Spam-*".
	Fields []string
}

// deliveryFields are added by who puts a message into a mailbox.
var deliveryFields = []string{"Return-Path", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To"}

// from takes it off the message, and returns how many fields those were.
func (s *Strip) from(m *miltertest.Message) int {
	before := len(m.Fields)
	if s.AsReceived {
		h, at := hopOf(m)
		if at >= 0 {
			m.Fields = m.Fields[at:]
			m.Fields[0].Own = true
		}
		m.Fields = slices.DeleteFunc(m.Fields, func(f miltertest.Field) bool {
			return slices.ContainsFunc(deliveryFields, func(name string) bool { return at < 0 && strings.EqualFold(name, f.Name) }) ||
				strings.EqualFold(f.Name, "Authentication-Results") && at >= 0 && isOf(f.Value, h.by)
		})
	}
	m.Fields = slices.DeleteFunc(m.Fields, func(f miltertest.Field) bool {
		return !f.Own && slices.ContainsFunc(s.Fields, func(pattern string) bool {
			match, _ := path.Match(strings.ToLower(pattern), strings.ToLower(f.Name))
			return match
		})
	})
	return before - len(m.Fields)
}

// isOf reports whether Authentication-Results are of a server of that name.
func isOf(value, server string) bool {
	id, _, _ := strings.Cut(value, ";")
	words := strings.Fields(id)
	return server != "" && len(words) > 0 && strings.EqualFold(words[0], server)
}
