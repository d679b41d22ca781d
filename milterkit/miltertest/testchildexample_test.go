package miltertest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// newChild returns a child that refuses mail for users who are not there.
func newChild() milterkit.Child {
	return milterkit.OnRcpt("users", func(_ context.Context, _ *milterkit.Envelope, to milterkit.Address) milterkit.Verdict {
		if strings.HasPrefix(to.Addr, "nobody@") {
			return milterkit.Reject("5.1.1 no such user")
		}
		return milterkit.Continue
	})
}

// The test of a child begins with one line.
func ExampleTestChild() {
	_ = func(t *testing.T) { // func TestRules(t *testing.T)
		miltertest.TestChild(t, newChild)
	}
}

// A child that does its work only for certain mail is shown such.
func ExampleChildTest() {
	_ = func(t *testing.T) { // func TestRules(t *testing.T)
		miltertest.ChildTest{
			New: newChild,
			Mails: []miltertest.Mail{{
				From:    "<alice@example.org>",
				To:      []miltertest.Recipient{{Addr: "<nobody@example.net>"}, {Addr: "<bob@example.net>"}},
				Message: miltertest.ParseMessage([]byte("Subject: hello\n\nHi.\n")),
			}},
		}.Run(t)
	}
}

// The examples pass.
func TestExampleChild(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, newChild)
}
