// Shadow tries a new filter on real mail, and counts what it would have done.
package main

import (
	"context"
	"expvar"
	"flag"
	"log"
	"net"
	"net/http"

	"github.com/milterkit/sdk/milterkit"
)

// requireID is the filter on trial.
func requireID() milterkit.Child {
	return milterkit.NewChild("require-id", func() milterkit.Hooks {
		return milterkit.Hooks{Header: func(_ context.Context, m *milterkit.Message) milterkit.Verdict {
			if m.Get("Message-Id") == "" {
				return milterkit.Reject("5.6.0 a message needs a Message-Id")
			}
			return milterkit.Continue
		}}
	})
}

// count counts the verdicts of children that run in shadow: "require-id: reject".
func count(into *expvar.Map) func(*milterkit.Report) {
	return func(r *milterkit.Report) {
		for _, c := range r.Children {
			if c.Shadow {
				into.Add(c.Name+": "+c.Verdict.Kind().String(), 1)
			}
		}
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8890", "where the mail server finds it")
	status := flag.String("status", "127.0.0.1:8891", "where /debug/vars has the counts")
	flag.Parse()
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: requireID(), Shadow: true})
	if err != nil {
		log.Fatal(err)
	}
	chain.OnReport = count(expvar.NewMap("shadow"))
	go func() { log.Fatal(http.ListenAndServe(*status, nil)) }()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&milterkit.Server{Dispatcher: chain}).Serve(ln))
}
