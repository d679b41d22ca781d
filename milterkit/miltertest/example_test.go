package miltertest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A scripted filter and the MTA's end of the connection to it.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	f := &miltertest.Filter{Script: miltertest.Script{On: map[byte][]miltertest.Answer{
		wire.CmdRcpt: {{If: "nobody@", Text: "550 5.1.1 no such user"}},
		wire.CmdEOM:  {{Edits: []miltertest.Edit{miltertest.AddHeader("X-Seen", "yes")}}},
	}}}
	addr, err := f.Start("unix", filepath.Join(dir, "filter"))
	if err != nil {
		panic(err)
	}
	defer f.Close()

	mta, err := miltertest.Dial(context.Background(), "unix", addr, miltertest.Offer{})
	if err != nil {
		panic(err)
	}
	p := &miltertest.Player{MTA: mta, Client: miltertest.Client{Host: "mx.example.org", Family: wire.FamilyInet, Addr: "192.0.2.1"}}
	p.Open()
	o, err := p.Mail(miltertest.Mail{
		From:    "<alice@example.org>",
		To:      []miltertest.Recipient{{Addr: "<nobody@example.net>"}, {Addr: "<bob@example.net>"}},
		Message: miltertest.ParseMessage([]byte("Subject: hello\n\nHi.\n")),
	})
	if err != nil {
		panic(err)
	}
	p.Close()
	fmt.Println(o.Result, "for", o.Envelope.To, "and not for", o.Refused)
	fmt.Println(o.Edits)
	fmt.Print(o.Message)
	// Output:
	// accepted for [<bob@example.net>] and not for [<nobody@example.net>]
	// [add header X-Seen: yes]
	// Subject: hello
	// X-Seen: yes
	//
	// Hi.
}
