package greylist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/milterkit"
)

// Options say what is put off, for how long, and where that is remembered.
type Options struct {
	// Delay is how long a new triplet (client network, sender, recipient) is put
	// off, from its first try. At least a second.
	Delay time.Duration

	// RetryWindow is how long a first try is remembered: a client that comes
	// again later than that is new. More than Delay. By default two days, so that
	// a server which tries again once a day gets through.
	RetryWindow time.Duration

	// Lifetime is how long a triplet passes at once after it has passed, from
	// its last use. At least a second.
	Lifetime time.Duration

	// IPv4Prefix and IPv6Prefix are the lengths of the networks in which clients
	// count as one: 8 to 32 and 16 to 128.
	IPv4Prefix int `toml:"ipv4_prefix"`
	IPv6Prefix int `toml:"ipv6_prefix"`

	// Allow are clients that are never put off: addresses, networks, and domains,
	// which stand for the names below them too. `milterkit greylist allow` has
	// others beside them.
	Allow []string

	// Trusted are domains whose mail is never put off where SPF says that it is
	// theirs; each stands for itself only.
	Trusted []string

	// SPFKey has mail that SPF says to be its sender's domain's known by that
	// domain in place of the client's network: for senders who try again from
	// another network.
	SPFKey bool `toml:"spf_key"`

	// Recipients are those whose mail is put off, as addresses or domains. Empty:
	// all.
	Recipients []string

	// ExceptRecipients are those whose mail is not, also where Recipients has
	// them.
	ExceptRecipients []string

	// Database is the file that remembers. Its folder must be there, and be
	// writable. Milters that have one file, or one Redis with one prefix, share
	// what they remember.
	Database string

	// Redis is the URL of a Redis or Valkey server that remembers instead, which
	// several mail servers may share: "redis://127.0.0.1:6379/0". Empty: the
	// file does.
	Redis string `toml:",secret"` // it may have a password

	// RedisPrefix begins all keys there.
	RedisPrefix string

	// Store remembers instead of both. New's child closes it.
	Store Store `toml:"-"`

	// Nameserver is the name server that is asked about SPF, "127.0.0.1:53". Absent:
	// those of the system.
	Nameserver netip.AddrPort

	// SPF reports whether SPF says that the envelope's sender may send from its
	// client. Nil: package spf does. An error counts as no.
	SPF func(ctx context.Context, e *milterkit.Envelope) (pass bool, err error) `toml:"-"`

	// Clock is the time. Nil: time.Now.
	Clock func() time.Time `toml:"-"`

	// Logger is told when the store is gone. Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// Defaults are the options where the file says nothing.
var Defaults = Options{
	Delay:       10 * time.Minute,
	RetryWindow: 48 * time.Hour,
	Lifetime:    7 * 24 * time.Hour,
	IPv4Prefix:  24,
	IPv6Prefix:  64,
	Database:    "/var/lib/milterkit/greylist.db",
	RedisPrefix: "greylist:",
}

// Validate says what is wrong with the options themselves.
func (o Options) Validate() error {
	var errs []error
	for _, d := range []struct {
		option string
		d      time.Duration
	}{{"delay", o.Delay}, {"lifetime", o.Lifetime}} {
		if d.d < time.Second {
			errs = append(errs, action.Errorf(d.option, `%v is too short; write at least "1s"`, d.d))
		}
	}
	if o.RetryWindow <= o.Delay {
		errs = append(errs, action.Errorf("retry_window", "%v is over before the delay of %v is, so nothing would ever pass; write a longer one", o.RetryWindow, o.Delay))
	}
	if o.IPv4Prefix < 8 || o.IPv4Prefix > 32 {
		errs = append(errs, action.Errorf("ipv4_prefix", "%d is no length of a network; write 8 to 32", o.IPv4Prefix))
	}
	if o.IPv6Prefix < 16 || o.IPv6Prefix > 128 {
		errs = append(errs, action.Errorf("ipv6_prefix", "%d is no length of a network; write 16 to 128", o.IPv6Prefix))
	}
	if _, err := o.allow(); err != nil {
		errs = append(errs, action.Errorf("allow", "%w", err))
	}
	for _, domain := range o.Trusted {
		if !isDomain(strings.ToLower(domain)) {
			errs = append(errs, action.Errorf("trusted", `%q is not a domain; write one such as "example.org"`, domain))
		}
	}
	errs = append(errs, validRecipients("recipients", o.Recipients), validRecipients("except_recipients", o.ExceptRecipients))
	if o.Redis != "" && o.Store == nil {
		if s, err := NewRedis(o.Redis, o.RedisPrefix); err != nil {
			errs = append(errs, action.Errorf("redis", "%w", err))
		} else {
			s.Close()
		}
	}
	return errors.Join(errs...)
}

func validRecipients(option string, list []string) error {
	for _, r := range list {
		if strings.HasPrefix(r, "@") || !strings.Contains(r, "@") && !isDomain(strings.ToLower(r)) {
			return action.Errorf(option, `%q is neither an address nor a domain; write "bob@example.org" or "example.org"`, r)
		}
	}
	return nil
}

// Writes returns the folders below which the child writes files.
func (o Options) Writes() []string {
	if o.Store != nil || o.Redis != "" || o.Database == "" {
		return nil
	}
	return []string{filepath.Dir(o.Database)}
}

// ready says what else the child could not work with: it is asked about when the
// child is made, with the rights that it will have.
func (o Options) ready() error {
	if o.Store == nil && o.Redis == "" {
		if err := usable(o.Database); err != nil {
			return action.Errorf("database", "%w", err)
		}
	}
	return nil
}

// usable says why a database cannot be used, without opening it.
func usable(path string) error {
	if path == "" {
		return errors.New("a file is needed, or redis")
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s; make it, for the user that milterkit runs as", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", dir)
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil:
		return fmt.Errorf("the folder %s is not writable for the user that milterkit runs as (%d), and a database has files beside it", dir, os.Getuid())
	}
	info, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case unix.Access(path, unix.R_OK|unix.W_OK) != nil:
		return fmt.Errorf("%s is not writable for the user that milterkit runs as (%d)", path, os.Getuid())
	}
	return nil
}

// Open returns the store that the options name. It does not look whether it
// is there.
func (o Options) Open() (Store, error) {
	if o.Store != nil {
		return o.Store, nil
	}
	if o.Redis != "" {
		return NewRedis(o.Redis, o.RedisPrefix)
	}
	return NewDisk(o.Database, o.Clock), nil
}

// Policy returns how long what is remembered.
func (o Options) Policy() Policy { return Policy{o.Delay, o.RetryWindow, o.Lifetime} }

// allow returns the clients of the option as ParseClient does, for networks and
// domains.
func (o Options) allow() (clients clients, err error) {
	for _, text := range o.Allow {
		name, err := ParseClient(text)
		if err != nil {
			return clients, err
		}
		if p, err := netip.ParsePrefix(name); err == nil {
			clients.networks = append(clients.networks, p)
		} else {
			clients.domains = append(clients.domains, name)
		}
	}
	return clients, nil
}

// lower returns a list in small letters.
func lower(list []string) []string {
	list = slices.Clone(list)
	for i, text := range list {
		list[i] = strings.ToLower(text)
	}
	return list
}
