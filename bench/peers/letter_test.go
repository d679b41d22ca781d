package main

import (
	"bytes"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/milterkit/sdk/test/stack"
)

// The letter is of a size that spamc hands on, and its signature holds.
func TestTheLetterIsSigned(t *testing.T) {
	key, err := stack.NewDKIMKey()
	if err != nil {
		t.Fatal(err)
	}
	mail, err := letter(key)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(mail) >> 10; n < 50 || n > 200 {
		t.Errorf("%d KB", n)
	}
	for line := range bytes.Lines(mail) {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	got, err := dkim.VerifyWithOptions(bytes.NewReader(bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n"))), &dkim.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return []string{key.Text()}, nil },
	})
	if err != nil || len(got) != 1 || got[0].Err != nil {
		t.Errorf("%v, %v", got, err)
	}
}
