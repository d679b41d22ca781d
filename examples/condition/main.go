// Condition has a filter asked only about mail of clients on a DNS list.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// A resolver is a *net.Resolver, or that of a test.
type resolver interface {
	LookupHost(ctx context.Context, name string) ([]string, error)
}

// listed holds where the client's address is on the list. It is settled once for
// each session, and a child whose slot has it is not contacted where it does not hold.
func listed(r resolver, list string) milterkit.Condition {
	return milterkit.Condition{
		Name: "listed",
		At:   milterkit.StageConnect,
		Holds: func(ctx context.Context, e *milterkit.Envelope, _ milterkit.Address) bool {
			ip := e.Client().Addr().Unmap()
			if !ip.Is4() {
				return false
			}
			b := ip.As4()
			answers, _ := r.LookupHost(ctx, fmt.Sprintf("%d.%d.%d.%d.%s", b[3], b[2], b[1], b[0], list))
			return len(answers) > 0
		},
	}
}

func hold() milterkit.Child {
	return milterkit.OnMessage("hold", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.Quarantine("the client " + m.Addr + " is on a list")
		return milterkit.Continue
	})
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	list := flag.String("list", "list.example.org", "DNS list of addresses")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{
		Child: hold(), When: listed(net.DefaultResolver, *list), CommandTimeout: 3 * time.Second, DefaultAction: milterkit.DefaultAccept}))
}
