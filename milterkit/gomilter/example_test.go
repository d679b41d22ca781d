package gomilter_test

import (
	"context"
	"fmt"

	"github.com/emersion/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/gomilter"
)

// greeter is a filter on go-milter.
type greeter struct{ milter.NoOpMilter }

func (greeter) Body(m *milter.Modifier) (milter.Response, error) {
	return milter.RespAccept, m.AddHeader("X-Greeting", "hello")
}

// A filter on go-milter as a child, without a socket.
func ExampleChild() {
	server := milter.Server{
		NewMilter: func() milter.Milter { return greeter{} },
		Actions:   milter.OptAddHeader,
	}
	child := &gomilter.Child{Label: "greeter", Server: &server} // was: server.Serve(ln)
	defer child.Close()

	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	if err != nil {
		panic(err)
	}
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	ctx := context.Background()
	w.Connect(ctx, "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Mail(ctx, milterkit.NewAddress("<a@example.org>"))
	w.Rcpt(ctx, milterkit.NewAddress("<b@example.net>"))
	w.EndOfHeader(ctx)
	o := w.EndOfMessage(ctx)
	fmt.Printf("%v, %s:%s\n", o.Verdict, o.Edits[0].Name, o.Edits[0].Value)
	// Output: continue, X-Greeting: hello
}
