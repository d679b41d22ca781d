package spamd

import (
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/peer"
)

// Options are the settings of the child. Start from [Defaults].
type Options struct {
	// Addresses are where spamd listens: unix:PATH, inet:PORT@HOST or HOST:PORT.
	// The first one that works is asked; one that has failed is tried after the
	// others for a while.
	Addresses []string

	// Timeout bounds the time that one spamd has for a message, so that the next one
	// has some left. Zero: only the slot's content timeout does.
	Timeout time.Duration

	// MaxSize is the size in bytes, header and all, up to which a message is looked
	// at. A bigger one goes on without. Zero: no limit.
	MaxSize int64 `toml:",size"`

	// RejectScore is the score from which on a message is refused. Zero: none is.
	RejectScore float64

	// RejectText is what the client is told then, with an enhanced status code or
	// without.
	RejectText string

	// Tag says which messages get the fields that tell the result: "all", "spam" or
	// "none".
	Tag string

	// Subject is put before the subject of spam, with a space after it. Empty: the
	// subject stays as it is.
	Subject string

	// User says whose preferences spamd uses: "recipient" are those of the address
	// of a message's only recipient, "local-part" those of what stands before its @ and
	// +, in small letters; any other text is the name of a user. Empty: spamd's own.
	User string

	// DefaultUser is used in place of the recipient where there are several, or where
	// the address has characters that no user's name has. Empty: spamd's own.
	DefaultUser string

	// Clock is the time. Nil: time.Now.
	Clock func() time.Time `toml:"-"`

	// Logger is told of what is not looked at. Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// Defaults are the settings of a child of which nothing else is said.
var Defaults = Options{
	Addresses:  []string{"inet:783@127.0.0.1"},
	Timeout:    100 * time.Second,
	MaxSize:    512 << 10,
	RejectText: "5.7.1 Blocked by SpamAssassin",
	Tag:        tagAll,
}

// The values of Tag.
const (
	tagAll  = "all"
	tagSpam = "spam"
	tagNone = "none"
)

// The values of User that have a meaning.
const (
	userRecipient = "recipient"
	userLocalPart = "local-part"
)

const maxText = 200 // bytes, of a text that an administrator writes

// Validate says what is wrong with the settings. Its error has a method Option()
// string, which names the one.
func (o Options) Validate() error {
	if _, err := peer.ParseAll(o.Addresses); err != nil {
		return action.Errorf("addresses", "%w", err)
	}
	switch {
	case o.Timeout < 0:
		return action.Errorf("timeout", "%s is below zero; write a time such as \"100s\", or 0 for no limit of its own", o.Timeout)
	case o.MaxSize < 0:
		return action.Errorf("max_size", "%d is below zero; write a size such as \"512KiB\", or 0 for no limit", o.MaxSize)
	case o.RejectScore < 0 || math.IsNaN(o.RejectScore) || math.IsInf(o.RejectScore, 0):
		return action.Errorf("reject_score", "%v refuses good mail; write a score such as 15, or 0 to refuse none", o.RejectScore)
	case !isText(o.RejectText) || o.RejectText == "":
		return action.Errorf("reject_text", "write one line of ASCII text of at most %d characters, such as %q", maxText, Defaults.RejectText)
	case o.Tag != tagAll && o.Tag != tagSpam && o.Tag != tagNone:
		return action.Errorf("tag", "%q is none of \"all\", \"spam\" and \"none\"", o.Tag)
	case !isText(o.Subject):
		return action.Errorf("subject", "write one line of ASCII text of at most %d characters, such as \"[SPAM]\"", maxText)
	case o.User != "" && !isUser(o.User):
		return action.Errorf("user", "%q is not the name of a user; write \"recipient\", \"local-part\", or a name of letters, digits and ._+@=-", o.User)
	case o.DefaultUser != "" && !isUser(o.DefaultUser):
		return action.Errorf("default_user", "%q is not the name of a user, which has letters, digits and ._+@=- only", o.DefaultUser)
	case o.DefaultUser != "" && o.User != userRecipient && o.User != userLocalPart:
		return action.Errorf("default_user", "it has a meaning only where user is \"recipient\" or \"local-part\"")
	}
	return nil
}

// isText reports whether s can stand in a header as it is, and in a reply.
func isText(s string) bool {
	return len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// isUser reports whether s can be the name of a user of spamd's: it makes names of
// files of it.
func isUser(s string) bool {
	return s != "" && len(s) <= 256 && !strings.Contains(s, "..") && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		return !letter && !('0' <= r && r <= '9') && !strings.ContainsRune("._+@=-", r)
	})
}
