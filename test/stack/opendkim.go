package stack

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
)

// What OpenDKIM signs with, and how it calls itself.
const (
	// DKIMDomain is the domain whose mail is signed and verified.
	DKIMDomain = "example.org"

	// DKIMSelector is the name of its key.
	DKIMSelector = "sel1"

	// AuthservID is the name in the Authentication-Results that the
	// verifier adds.
	AuthservID = "mx.example.test"
)

// keyName is where a verifier looks for the key.
const keyName = DKIMSelector + "._domainkey." + DKIMDomain

// elsewhere is the address that OpenDKIM takes for the internal network. By
// default that is loopback, whose mail is signed and never verified.
const elsewhere = "203.0.113.255"

// DKIMKey is the key of [DKIMDomain], for signers and verifiers.
type DKIMKey struct {
	private string // PEM
	record  string // the DNS record
}

// NewDKIMKey makes a key.
func NewDKIMKey() (*DKIMKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return &DKIMKey{
		private: string(pem.EncodeToMemory(block)),
		record:  "v=DKIM1; h=sha256; k=rsa; p=" + base64.StdEncoding.EncodeToString(public),
	}, nil
}

// PEM is the key itself, as signers read it.
func (k *DKIMKey) PEM() string { return k.private }

// Text is what the DNS record says.
func (k *DKIMKey) Text() string { return k.record }

// Record is the DNS record with which the key's signatures are verified.
func (k *DKIMKey) Record() string {
	return TXT(keyName, k.record)
}

// OpenDKIM is an OpenDKIM milter that either signs or verifies.
type OpenDKIM struct {
	Root *Root

	// Key is that of [DKIMDomain]. A verifier may have none.
	Key *DKIMKey

	// Name tells several in one root apart.
	Name string

	// Sign is how a signer canonicalises, such as "relaxed/simple". A
	// verifier has none.
	Sign string

	// More are further keys that a verifier knows: what their records say, by
	// the names of the records.
	More map[string]string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (o *OpenDKIM) Socket() string { return "unix:" + o.Root.Path(o.Name, "sock") }

// Start implements [Component].
func (o *OpenDKIM) Start() error {
	r := o.Root
	dir, err := r.mkdir(o.Name)
	if err != nil {
		return err
	}
	var config string
	if o.Sign != "" {
		config, err = o.signer()
	} else {
		config, err = o.verifier()
	}
	if err != nil {
		return err
	}
	config += fmt.Sprintf("Socket local:%s\nUMask 000\nSyslog no\nBackground no\nRequireSafeKeys false\n",
		r.Path(o.Name, "sock"))
	conf := r.Path(o.Name, "opendkim.conf")
	if err := r.write(conf, config); err != nil {
		return err
	}
	o.grace = stopLimitLibmilter
	if err := o.launch(r, o.Name, dir, r.nobody(), nil, "opendkim", "-f", "-x", conf); err != nil {
		return err
	}
	return o.listens(r.Path(o.Name, "sock"))
}

func (o *OpenDKIM) signer() (string, error) {
	key := o.Root.Path(o.Name, "key.pem")
	return fmt.Sprintf(`Mode s
Domain %s
Selector %s
KeyFile %s
Canonicalization %s
InternalHosts 127.0.0.1
OversignHeaders From
`, DKIMDomain, DKIMSelector, key, o.Sign), o.Root.write(key, o.Key.private)
}

func (o *OpenDKIM) verifier() (string, error) {
	// The key is in a file, so that no name server is asked. ResolverConfiguration
	// would do as well for one message at a time; of several at once it defers
	// some, or crashes. Source: OpenDKIM's issue 14, "Protect calls to
	// ub_ctx_config() with a mutex".
	keys := o.Root.Path(o.Name, "keys")
	config := fmt.Sprintf(`Mode v
InternalHosts %s
AuthservID %s
AlwaysAddARHeader yes
On-BadSignature accept
TestPublicKeys %s
`, elsewhere, AuthservID, keys)
	var list string
	if o.Key != nil {
		list = keyName + " " + o.Key.record + "\n"
	}
	for name, text := range o.More {
		list += name + " " + text + "\n"
	}
	return config, o.Root.write(keys, list)
}
