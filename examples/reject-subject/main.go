// Reject-subject refuses mail whose subject names a program.
package main

import (
	"context"
	"flag"
	"log"
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
			for _, subject := range m.Values("Subject") { // mail programs differ on which of several they show
				if unwanted.MatchString(mime.Decode([]byte(subject))) {
					return milterkit.Reject("5.7.1 no programs by mail, please")
				}
			}
			return milterkit.Continue
		}}
	})
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{Child: rejectSubject()}))
}
