package main

import (
	"strings"
	"testing"

	dj "github.com/d--j/go-milter"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/gomilter"
)

// marker is a filter on d--j/go-milter as its users write them.
type marker struct {
	dj.NoOpMilter
	args string
}

func (f *marker) MailFrom(_, args string, _ dj.Modifier) (*dj.Response, error) {
	f.args = args
	return dj.RespContinue, nil
}

func (f *marker) RcptTo(to, _ string, _ dj.Modifier) (*dj.Response, error) {
	if strings.HasPrefix(to, "nobody@") {
		return dj.RejectWithCodeAndReason(550, "5.1.1 no such user")
	}
	return dj.RespContinue, nil
}

func (f *marker) EndOfMessage(m dj.Modifier) (*dj.Response, error) {
	return dj.RespAccept, m.AddHeader("X-Args", f.args)
}

// Filters on d--j/go-milter run in the process too, by gomilter's Serve.
func TestFilterOnDJRunsInTheProcess(t *testing.T) {
	server := dj.NewServer(dj.WithMilter(func() dj.Milter { return &marker{} }), dj.WithActions(dj.OptAddHeader))
	child := &gomilter.Child{Label: "marker", Serve: server.Serve}
	defer func() {
		if err := child.Close(); err != nil {
			t.Error(err)
		}
	}()
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
	if err != nil {
		t.Fatal(err)
	}
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	ctx := t.Context()
	w.Connect(ctx, "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Helo(ctx, "mx.example.org")
	for range 2 {
		w.Mail(ctx, milterkit.NewAddress("<a@example.org>", "SIZE=99"))
		if v := w.Rcpt(ctx, milterkit.NewAddress("<nobody@example.net>")); v.Text() != "550 5.1.1 no such user" {
			t.Error(v)
		}
		w.Rcpt(ctx, milterkit.NewAddress("<b@example.net>"))
		w.Data(ctx)
		w.Header([]byte("Subject"), []byte(" hello"))
		w.EndOfHeader(ctx)
		w.Body(ctx, []byte("text\r\n"))
		o := w.EndOfMessage(ctx)
		if o.Verdict.Kind() != milterkit.KindContinue || len(o.Edits) != 1 || o.Edits[0].Name != "X-Args" || strings.TrimSpace(o.Edits[0].Value) != "SIZE=99" {
			t.Errorf("%v, %v", o.Verdict, o.Edits)
		}
		w.Reset()
	}
}
