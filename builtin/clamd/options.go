package clamd

import (
	"log/slog"
	"regexp"
	"time"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/peer"
)

// Options are the settings of the child. Start from [Defaults].
type Options struct {
	// Addresses are where clamd listens, one or several: unix:PATH, inet:PORT@HOST or
	// HOST:PORT. The first one that works is asked; one that has failed is tried
	// after the others for half a minute.
	Addresses []string

	// Timeout bounds the time that one clamd has for a message, connecting included,
	// so that the next one has some left. Above zero.
	Timeout time.Duration

	// MaxSize is the size in bytes, header and all, up to which a message is scanned
	// as a whole. clamd must take as much: StreamMaxLength, MaxFileSize and
	// MaxScanSize of clamd.conf. From 1 to 2047 MiB.
	MaxSize int64 `toml:",size"`

	// Oversize says what becomes of a message that is bigger: "accept" (it goes on,
	// marked as not scanned, unless a virus is in its first MaxSize bytes),
	// "reject", "tempfail" or "quarantine" (as accept, and the MTA holds it).
	Oversize string

	// Infected says what becomes of a message with a virus: "reject", "discard",
	// "quarantine" (the MTA holds it) or "header" (it goes on, marked: with Headers
	// only).
	Infected string

	// Text is what the client is told of a message that is refused for a virus, with
	// an enhanced status code or without. %v stands for the virus's name.
	Text string

	// Headers has the result put into X-Virus-Scanned and X-Virus-Status, in place of
	// fields of these names that the message came with.
	Headers bool

	// Clock is the time. Nil: time.Now.
	Clock func() time.Time `toml:"-"`

	// Logger is told of each virus, and of each message that was too large.
	// Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// Defaults are the settings where nothing else is said.
var Defaults = Options{
	Addresses: []string{"unix:/run/clamav/clamd.ctl"},
	Timeout:   2 * time.Minute,
	MaxSize:   25 << 20,
	Oversize:  "accept",
	Infected:  "reject",
	Text:      "5.7.1 Infected with %v",
	Headers:   true,
}

// wrongCode is a code of SMTP, which is there already, or one of another class than
// a refusal's.
var wrongCode = regexp.MustCompile(`^(?:[2-5]\d\d(?:[ -]|$)|[24]\.\d{1,3}\.\d{1,3}(?: |$))`)

// maxSize is below 2 GiB: files that are larger clamd calls clean, without a look,
// whatever clamd.conf says.
const maxSize = 2047 << 20

// Validate returns an error that names the option that is wrong, and says what
// would be right.
func (o Options) Validate() error {
	if _, err := peer.ParseAll(o.Addresses); err != nil {
		return action.Errorf("addresses", "%w", err)
	}
	switch o.Oversize {
	case "accept", "reject", "tempfail", "quarantine":
	default:
		return action.Errorf("oversize", `%q is not what can become of a message; write "accept", "reject", "tempfail" or "quarantine"`, o.Oversize)
	}
	switch o.Infected {
	case "reject", "discard", "quarantine", "header":
	default:
		return action.Errorf("infected", `%q is not what can become of a message; write "reject", "discard", "quarantine" or "header"`, o.Infected)
	}
	switch {
	case o.Infected == "header" && !o.Headers:
		return action.Errorf("infected", `"header" marks a virus in the header, and headers = false leaves it unmarked; write "reject", "discard" or "quarantine", or headers = true`)
	case wrongCode.MatchString(o.Text):
		return action.Errorf("text", `%q begins with a code that it will not have: the reply is "550 " and the text; write it as "5.7.1 Infected with %%v"`, o.Text)
	case o.Timeout <= 0:
		return action.Errorf("timeout", `%s leaves clamd no time; write a time such as "2m"`, o.Timeout)
	case o.MaxSize < 1 || o.MaxSize > maxSize:
		return action.Errorf("max_size", `%d is not the size of a message; write one from 1 to "2047MiB", such as "25MiB"`, o.MaxSize)
	}
	return nil
}
