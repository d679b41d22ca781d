package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 64 << 10

// ReadKey reads a private key, an *rsa.PrivateKey or an ed25519.PrivateKey, from a
// file in PEM: PKCS #8, or PKCS #1 for RSA. A file that others may read or write, or
// its group may write, is refused: who has the key can sign mail in the domain's name.
// The error names the file.
func ReadKey(file string) (crypto.Signer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode()&0o027 != 0 {
		return nil, fmt.Errorf("%s: others can get at the key (its mode is %04o); do chmod 0600, or 0640, and give it to the user or group of milterkit", file, info.Mode().Perm())
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s: this is no file with a key", file)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w; milterkit must be able to read it, as the user that it runs as", err)
	}
	if err != nil {
		return nil, err
	}
	key, err := parsePrivate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// parsePrivate reads a private key in PEM.
func parsePrivate(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(`this is no PEM file; it should have a line "-----BEGIN PRIVATE KEY-----"`)
	}
	if block.Headers["DEK-Info"] != "" || block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, errors.New("the key is encrypted; it must be stored without a password")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return nil, errors.New("this is the public key; the private one is needed")
	default:
		return nil, fmt.Errorf("this is a %q; a private key is needed, RSA or Ed25519", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the key is broken: %w", err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minBits || bits > maxBits {
			return nil, fmt.Errorf("the RSA key has %d bits; from %d to %d will do, and 2048 are good", bits, minBits, maxBits)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("this is a %T; DKIM has RSA and Ed25519 keys", key)
}
