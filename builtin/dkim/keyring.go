package dkim

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/builtin/internal/action"
	"github.com/milterkit/sdk/builtin/internal/watch"
)

// A Key is a key to sign with, and the domain whose mail it signs. A domain can have
// several, such as an RSA and an Ed25519 one: then its mail has a signature of each.
type Key struct {
	Domain     string // of the author's address, and in d=
	Selector   string // s=: the key is published at SELECTOR._domainkey.DOMAIN
	File       string // with the private key, see ReadKey
	Subdomains bool   // also sign, for Domain, mail of its sub-domains that have no key of their own
}

// A keyring knows with which keys an author's mail is signed.
type keyring struct {
	keys    []Key
	table   *watch.File[keyTable] // nil: there is none
	signing *watch.File[*signingTable]

	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	files map[string]*watch.File[crypto.Signer]
}

// newKeyring reads the keys and tables that the options name.
func newKeyring(o *SignOptions) (*keyring, error) {
	r := &keyring{keys: o.Keys, now: o.Clock, log: o.Logger, files: map[string]*watch.File[crypto.Signer]{}}
	var errs []error
	for i, k := range r.keys {
		r.keys[i].Domain = strings.ToLower(k.Domain)
		if _, err := r.file(k.File); err != nil {
			errs = append(errs, action.Errorf(fmt.Sprintf("key[%d].file", i+1), "%w", err))
		}
	}
	if o.KeyTable != "" {
		r.table = watched(r, strings.TrimPrefix(o.KeyTable, "file:"), readTable(parseKeyTable))
		file, wild := strings.CutPrefix(o.SigningTable, "refile:")
		r.signing = watched(r, strings.TrimPrefix(file, "file:"), readTable(func(text []byte) (*signingTable, error) {
			return parseSigningTable(text, wild)
		}))
		errs = append(errs, r.checkTables())
	}
	return r, errors.Join(errs...)
}

func watched[T any](r *keyring, path string, read func(string) (T, error)) *watch.File[T] {
	return &watch.File[T]{Path: path, Read: read, Now: r.now, Who: "dkim-sign", Log: r.log}
}

// checkTables reads the tables and all keys that they name by a whole name.
func (r *keyring) checkTables() error {
	keys, err := r.table.Get()
	if err != nil {
		return action.Errorf("key_table", "%w", err)
	}
	rules, err := r.signing.Get()
	if err != nil {
		return action.Errorf("signing_table", "%w", err)
	}
	for _, rule := range rules.rules {
		if _, there := keys[rule.key]; !there && rule.key != "%" {
			return action.Errorf("signing_table", "%s has the key %q, which is not in %s", r.signing.Path, rule.key, r.table.Path)
		}
	}
	for _, key := range keys {
		if !strings.Contains(key.file, "%") {
			if _, err := r.file(key.file); err != nil {
				return action.Errorf("key_table", "%s: %w", r.table.Path, err)
			}
		}
	}
	return nil
}

// file returns the key in a file.
func (r *keyring) file(path string) (crypto.Signer, error) {
	r.mu.Lock()
	w := r.files[path]
	r.mu.Unlock()
	if w == nil {
		w = watched(r, path, ReadKey)
	}
	key, err := w.Get()
	if err == nil {
		r.mu.Lock()
		r.files[path] = w
		r.mu.Unlock()
	}
	return key, err
}

// find returns in whose name the mail of an author is signed: nobody's, where there
// is no key for it.
func (r *keyring) find(addr string) ([]identity, error) {
	domain := addr[strings.LastIndexByte(addr, '@')+1:]
	if !isName(domain) { // it becomes part of the name of a file
		return nil, nil
	}
	var ids []identity
	for _, k := range r.keysOf(domain) {
		key, err := r.file(k.File)
		if err != nil {
			return nil, err
		}
		ids = append(ids, identity{domain: k.Domain, selector: k.Selector, key: key})
	}
	if ids != nil || r.table == nil {
		return ids, nil
	}
	return r.inTables(addr, domain)
}

// keysOf returns the keys of a domain, or else of the nearest one above it that signs
// for its sub-domains.
func (r *keyring) keysOf(domain string) []Key {
	for at, sub := domain, false; at != ""; sub = true {
		var list []Key
		for _, k := range r.keys {
			if k.Domain == at && (!sub || k.Subdomains) {
				list = append(list, k)
			}
		}
		if list != nil {
			return list
		}
		_, at, _ = strings.Cut(at, ".")
	}
	return nil
}

// inTables is find, in OpenDKIM's tables.
func (r *keyring) inTables(addr, domain string) ([]identity, error) {
	keys, err := r.table.Get()
	if err != nil {
		return nil, err
	}
	table, err := r.signing.Get()
	if err != nil {
		return nil, err
	}
	var ids []identity
	for _, rule := range table.find(addr) {
		name := rule.key
		if name == "%" {
			name = domain
		}
		entry, there := keys[name]
		if !there {
			if rule.key == "%" { // a domain without a key
				continue
			}
			return nil, fmt.Errorf("%s has the key %q, which is not in %s", r.signing.Path, name, r.table.Path)
		}
		id := identity{domain: entry.domain, selector: entry.selector}
		if id.domain == "%" {
			id.domain = domain
		}
		agent := strings.ReplaceAll(rule.agent, "%", domain)
		if at := strings.LastIndexByte(agent, '@'); at >= 0 && under(agent[at+1:], id.domain) {
			id.agent = agent
		}
		if id.key, err = r.file(strings.ReplaceAll(entry.file, "%", domain)); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
