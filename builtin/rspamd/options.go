package rspamd

import (
	"log/slog"
	"strings"
	"time"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/peer"
)

// Options are the settings of the child. Start from [Defaults].
type Options struct {
	// Addresses are where a normal worker of rspamd listens: unix:PATH,
	// inet:PORT@HOST or HOST:PORT. The first one that works is asked; one that has
	// failed is tried after the others for a while.
	Addresses []string

	// Timeout bounds the time that one rspamd has for a message, so that the next one
	// has some left. Zero: only the slot's content timeout does.
	Timeout time.Duration

	// MaxSize is the size in bytes, header and all, up to which a message is looked
	// at. A bigger one goes on without. Zero: no limit.
	MaxSize int64 `toml:",size"`

	// Password is sent along, for a worker that wants one. Empty: none.
	Password string `toml:",secret"`

	// Logger is told of what is not looked at, and of what rspamd wants that is not
	// done. Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// Defaults are the settings of a child of which nothing else is said. The size is
// rspamd's own limit, max_message.
var Defaults = Options{
	Addresses: []string{"inet:11333@127.0.0.1"},
	Timeout:   60 * time.Second,
	MaxSize:   50 << 20,
}

// Validate says what is wrong with the settings. Its error has a method Option()
// string, which names the one.
func (o Options) Validate() error {
	if _, err := peer.ParseAll(o.Addresses); err != nil {
		return action.Errorf("addresses", "%w", err)
	}
	switch {
	case o.Timeout < 0:
		return action.Errorf("timeout", "%s is below zero; write a time such as \"60s\", or 0 for no limit of its own", o.Timeout)
	case o.MaxSize < 0:
		return action.Errorf("max_size", "%d is below zero; write a size such as \"50MiB\", or 0 for no limit", o.MaxSize)
	case strings.ContainsFunc(o.Password, func(r rune) bool { return r < ' ' || r > '~' }):
		return action.Errorf("password", "it has characters that are not ASCII, or do not print; choose another one")
	}
	return nil
}
