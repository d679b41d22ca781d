package dmarc

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// Name servers of a sender that never answer do not hold a session for longer than
// the time for all look-ups; then the message is to come again.
func TestSilentNameServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		child, err := New(Options{Reject: "reject", Quarantine: "none", TempError: "tempfail", BadFrom: "reject", Resolver: silent{}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := milterkit.NewDispatcher(milterkit.Slot{Child: child})
		if err != nil {
			t.Fatal(err)
		}
		w := d.Walk(milterkit.AllActions)
		defer w.Close()
		w.Connect(t.Context(), "mail.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
		w.Mail(t.Context(), milterkit.NewAddress("<alice@a.b.c.d.e.f.example.org>"))
		w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.net>"))
		began := time.Now()
		v := w.Message(t.Context(), []byte("From: alice@a.b.c.d.e.f.example.org\r\n\r\nHello.\r\n")).Verdict
		if took := time.Since(began); took > checkTime || !strings.HasPrefix(v.Text(), "451 ") {
			t.Errorf("%v after %v", v, took)
		}
	})
}

// silent never answers.
type silent struct{}

func (silent) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return nil, never(ctx, name)
}
func (silent) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return nil, never(ctx, name)
}
func (silent) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	return nil, never(ctx, name)
}
func (silent) LookupAddr(ctx context.Context, name string) ([]string, error) {
	return nil, never(ctx, name)
}

func never(ctx context.Context, name string) error {
	<-ctx.Done()
	return &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
}
