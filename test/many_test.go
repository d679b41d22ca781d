package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/milterkit/sdk/test/smtpclient"
)

// TestManyAtOnce sends many messages at the same time: none gets anything of
// another.
func TestManyAtOnce(t *testing.T) { manyAtOnce(t, routes[:2]) }

func manyAtOnce(t *testing.T, routes []route) {
	const clients = 30
	b := start(t)
	for _, r := range routes {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			outcomes := make([]*outcome, clients)
			errs := make([]error, clients)
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() { outcomes[i], errs[i] = b.exchange("two", r, ofMany(i)) })
			}
			wg.Wait()
			for i, o := range outcomes {
				if errs[i] != nil {
					t.Fatal(errs[i])
				}
				b.settle(t, "two", r, o)
				text := delivered(t, o)
				subject := fmt.Sprintf("number %d", i)
				wantText(t, text, "\nSubject: "+subject+"\n", `Subject:"`+subject+`"`, fmt.Sprintf("; to user%03d@", i))
				_, body, _ := strings.Cut(text, "\n\n")
				if body != strings.ReplaceAll(bodyOfMany(subject), "\r\n", "\n") {
					t.Errorf("message %d has the body of another, %d bytes: %.100q", i, len(body), body)
				}
			}
		})
	}
}

// ofMany is the dialogue of the i-th client.
func ofMany(i int) func(*smtpclient.Client) {
	return func(c *smtpclient.Client) {
		subject := fmt.Sprintf("number %d", i)
		c.Ehlo(client)
		c.Mail("nothing@example.org") // whose first milter tells what it saw
		c.Rcpt(fmt.Sprintf("user%03d@example.test", i))
		c.Data(letter(subject, "", strings.TrimSuffix(bodyOfMany(subject), "\r\n")))
	}
}

// bodyOfMany is a body of several packets.
func bodyOfMany(subject string) string { return strings.Repeat(subject+"\r\n", 15000) }
