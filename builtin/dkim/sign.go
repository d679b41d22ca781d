package dkim

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/milterkit"
)

// SignOptions are the settings of the child that NewSign makes.
type SignOptions struct {
	// Keys are the keys, and the domains that they are of.
	Keys []Key `toml:"key"`

	// KeyTable and SigningTable are files as OpenDKIM has them; the latter's name may
	// have "refile:" before it. They are for domains that Keys has nothing for. Empty:
	// there are none.
	KeyTable, SigningTable string

	// Sign says whose mail is signed: "outgoing" is that of clients that have
	// authenticated or are in Networks, and what was made on this host, such as
	// bounces; "all" is whatever is of an author whose domain has a key.
	Sign string

	// Networks are those whose clients may send in our domains' names.
	Networks []netip.Prefix

	// Headers are the names of the fields that are signed, each one of that name.
	Headers []string

	// Oversign are those of which no further one can be added to a signed message.
	Oversign []string

	// Clock is the time. Nil: time.Now.
	Clock func() time.Time `toml:"-"`

	// Logger is told of messages that are not signed, and of files that have changed.
	// Nil: slog.Default().
	Logger *slog.Logger `toml:"-"`
}

// What becomes of Sign.
const (
	signOutgoing = "outgoing"
	signAll      = "all"
)

// SignDefaults are the settings where nothing else is said. The fields are those of
// RFC 6376 section 5.4.1, and what says how the body is to be read.
var SignDefaults = SignOptions{
	Sign:     signOutgoing,
	Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	Headers: []string{"From", "Sender", "Reply-To", "Subject", "Date", "Message-ID", "To", "Cc", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Content-Description",
		"Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Message-ID",
		"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive"},
	Oversign: []string{"From"},
}

// Validate returns an error about an option that cannot be.
func (o SignOptions) Validate() error {
	if len(o.Keys) == 0 && o.KeyTable == "" && o.SigningTable == "" {
		return action.Errorf("key", "there is no key to sign with; add a table [[milter.options.key]] with domain, selector and file")
	}
	for i, k := range o.Keys {
		at := func(name string) string { return fmt.Sprintf("key[%d].%s", i+1, name) }
		switch {
		case !isName(k.Domain) || !isASCII(k.Domain):
			return action.Errorf(at("domain"), `%q is no domain; write one such as "example.org"`, k.Domain)
		case !isName(k.Selector) || !isASCII(k.Selector):
			return action.Errorf(at("selector"), `%q is no selector; write one such as "mail2026"`, k.Selector)
		case !filepath.IsAbs(k.File):
			return action.Errorf(at("file"), `%q is no absolute path; write one such as "/etc/milterkit/dkim/example.org.pem"`, k.File)
		}
	}
	if (o.KeyTable == "") != (o.SigningTable == "") {
		return action.Errorf("signing_table", "key_table and signing_table need each other")
	}
	if err := tablePath("key_table", o.KeyTable, "file:"); err != nil {
		return err
	}
	if err := tablePath("signing_table", o.SigningTable, "refile:", "file:"); err != nil {
		return err
	}
	if o.Sign != signOutgoing && o.Sign != signAll {
		return action.Errorf("sign", `%q is neither "outgoing" nor "all"`, o.Sign)
	}
	for option, list := range map[string][]string{"headers": o.Headers, "oversign": o.Oversign} {
		for _, name := range list {
			if !isFieldName(name) {
				return action.Errorf(option, `%q is no name of a field; write one such as "Subject"`, name)
			}
		}
	}
	if !slices.ContainsFunc(o.Headers, func(name string) bool { return strings.EqualFold(name, "From") }) {
		return action.Errorf("headers", `"From" must be signed`) // RFC 6376 section 5.4
	}
	return nil
}

func tablePath(option, path string, kinds ...string) error {
	for _, kind := range kinds {
		path = strings.TrimPrefix(path, kind)
	}
	if path != "" && !filepath.IsAbs(path) {
		return action.Errorf(option, `%q is no absolute path of a file; other kinds of tables are not read`, path)
	}
	return nil
}

func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == ';' })
}

// NewSign returns the child dkim-sign, which adds signatures of the author's domain
// to mail that goes out. It signs a message as it stands then, so it is to be the last
// that changes it.
func NewSign(o SignOptions) (milterkit.Child, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Keys = slices.Clone(o.Keys)
	ring, err := newKeyring(&o)
	if err != nil {
		return nil, err
	}
	s := &signer{o, ring}
	return milterkit.OnMessage("dkim-sign", s.message), nil
}

type signer struct {
	SignOptions
	ring *keyring
}

func (s *signer) message(ctx context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
	if s.Sign != signAll && !s.ours(m.Session) {
		return milterkit.Continue
	}
	ids, why, err := s.identities(m)
	if err != nil {
		return milterkit.Fail(err)
	}
	if why != "" {
		s.Logger.Info("dkim-sign: not signed: "+why, "session", m.ID, "queue_id", m.QueueID())
	}
	if len(ids) == 0 {
		return milterkit.Continue
	}
	names, header, err := toSign(m, s.Headers, s.Oversign)
	if err != nil {
		return milterkit.Fail(err)
	}
	hash, err := bodyHash(ctx, m.Body())
	if err != nil {
		return milterkit.Fail(fmt.Errorf("the body could not be hashed in time: %w", err))
	}
	for _, id := range slices.Backward(ids) { // the last one inserted is on top
		if s.hasSigned(ctx, m, id, hash) {
			continue
		}
		value, err := id.sign(names, header, hash, s.Clock())
		if err != nil {
			return milterkit.Fail(fmt.Errorf("no signature of %s, selector %s: %w", id.domain, id.selector, err))
		}
		e.InsertHeader(0, FieldName, value)
	}
	return milterkit.Continue
}

// ours reports whether a client may send in our domains' names.
func (s *signer) ours(session *milterkit.Session) bool {
	client := session.Client()
	addr := client.Addr().Unmap().WithZone("")
	switch {
	case session.AuthUser() != "", session.Family == milterkit.FamilyUnix:
		return true
	case addr.IsLoopback() && client.Port() == 0: // Postfix, of mail that did not come by SMTP
		return true
	}
	return slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// identities returns in whose name a message is signed, or why it is not.
func (s *signer) identities(m *milterkit.Message) (ids []identity, why string, err error) {
	fields := 0
	for _, f := range m.Header() {
		if strings.EqualFold(string(f.Name), "From") {
			fields++
		}
	}
	from := authors(m)
	if fields != 1 || len(from) != 1 {
		return nil, fmt.Sprintf("it has %d From fields with %d addresses, and it takes one of one", fields, len(from)), nil
	}
	at := strings.LastIndexByte(from[0], '@')
	domain := from[0][at+1:]
	if !isASCII(domain) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return nil, "the domain in From is none", nil
		}
	}
	ids, err = s.ring.find(from[0][:at+1] + domain)
	if len(ids) == 0 && err == nil && s.ours(m.Session) { // of others' mail that is nothing to tell
		why = "there is no key for " + domain
	}
	return ids, why, err
}

// hasSigned reports whether a signature that would be made is there already, and good:
// the message has come by before. One that is not good does not count, as the message
// was changed since. Who sends many that look like ours gets one more.
func (s *signer) hasSigned(ctx context.Context, m *milterkit.Message, id identity, bodyHash string) bool {
	looked := 0
	for i, f := range m.Header() {
		if looked == DefaultMaxSignatures {
			break
		}
		if !isSignature(f) {
			continue
		}
		sig, fault := parseSignature(f, s.Clock())
		if fault != nil || sig.body != bodyHash || !strings.EqualFold(sig.domain, id.domain) || sig.selector != id.selector || sig.algorithm != id.algorithm() {
			continue
		}
		looked++
		own := &Verifier{Clock: s.Clock, Resolver: published(id)}
		if own.verify(ctx, m, i).Value == Pass {
			return true
		}
	}
	return false
}

// published answers as if the key were published, whatever is asked.
type published identity

func (p published) LookupTXT(context.Context, string) ([]string, error) {
	text, err := Record(p.key.Public())
	return []string{text}, err
}
func (published) LookupMX(context.Context, string) ([]*net.MX, error)        { return nil, nil }
func (published) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { return nil, nil }
func (published) LookupAddr(context.Context, string) ([]string, error)       { return nil, nil }
