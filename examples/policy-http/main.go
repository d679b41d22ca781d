// Policy-http asks an HTTP service about each recipient.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// policy refuses what the service forbids (403), in the service's words.
func policy(service string) milterkit.Child {
	return milterkit.OnRcpt("policy", func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
		q := url.Values{"client": {e.Addr}, "user": {e.AuthUser()}, "sender": {e.Sender.Addr}, "recipient": {to.Addr}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, service+"?"+q.Encode(), nil)
		if err != nil {
			return milterkit.Fail(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return milterkit.Fail(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, 1000))
		switch {
		case err != nil:
			return milterkit.Fail(err)
		case res.StatusCode == http.StatusForbidden:
			return milterkit.Reject(string(text))
		case res.StatusCode != http.StatusNoContent:
			return milterkit.Fail(fmt.Errorf("%s: %s", service, res.Status))
		}
		return milterkit.Continue
	})
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	service := flag.String("service", "http://127.0.0.1:8080/policy", "who is asked")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{
		Child: policy(*service), CommandTimeout: 2 * time.Second, DefaultAction: milterkit.DefaultTempFail}))
}
