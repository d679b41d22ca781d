// Reject-subject refuses mail whose subject names a program.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"regexp"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/mime"
)

var unwanted = regexp.MustCompile(`(?i)\.(exe|scr|bat)\b`)

// rejectSubject decides when the header is there. As it has no other hook, nothing
// of the body is kept for it.
func rejectSubject() milterkit.Child {
	return milterkit.NewChild("reject-subject", func() milterkit.Hooks {
		return milterkit.Hooks{Header: func(_ context.Context, m *milterkit.Message) milterkit.Verdict {
			if unwanted.MatchString(mime.Text(m, "Subject")) {
				return milterkit.Reject("5.7.1 no programs by mail, please")
			}
			return milterkit.Continue
		}}
	})
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8890", "where the mail server finds it")
	flag.Parse()
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: rejectSubject()})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&milterkit.Server{Dispatcher: chain}).Serve(ln))
}
