package miltertest

import (
	"testing"

	"github.com/milterkit/sdk/milterkit"
)

// TestChild tests that a child keeps to the rules of package milterkit, which
// no compiler checks: that it keeps no bytes of a message and changes none, stops
// when it is asked to, keeps messages and sessions apart, bears odd mail, and so
// on. Each rule is a subtest, which says on failure what to do:
//
//	func TestRules(t *testing.T) {
//		miltertest.TestChild(t, func() milterkit.Child { return greylist.New() })
//	}
//
// newChild returns a child that has not been used yet. It is called often, on the
// goroutine of the test, and so may use t. A child that is an io.Closer is closed
// when it has been used. What the child talks to (a server, a clock) must answer
// as in good times. With go test -race more is found.
//
// It says nothing about whether the child answers what it ought to. Nor does it
// find what a child does only to certain mail: see [ChildTest].Mails.
func TestChild(t *testing.T, newChild func() milterkit.Child) {
	t.Helper()
	ChildTest{New: newChild}.Run(t)
}

// A ChildTest is [TestChild] for a child of which more is to be known. Only New
// must be set.
type ChildTest struct {
	// New is newChild of TestChild.
	New func() milterkit.Child

	// Client is who sends the mail, and what macros the MTA knows (Known and
	// Macros), where the kit does not play another one. Without an Addr it is
	// mail.example.org [192.0.2.7]; without a Family that is the address's.
	Client Client

	// Mails are played besides the kit's own, if the child does its work only
	// for such: mail with an attachment, or to a certain user. Where a Mail has no
	// From, or no recipient that the MTA takes, it has those of the kit's:
	// <alice@example.org> and <bob@example.net>. The null sender is "<>".
	Mails []Mail

	// Remembers says that what the child answers to a message depends on those
	// before it, as with greylisting, or a limit that the kit's mail comes to: up to
	// five messages in a session, and some hundreds from one sender at one child,
	// besides Mails. Then no two answers of one child are compared.
	Remembers bool
}

// A rule is one of the subtests.
type rule struct {
	name string
	why  string // the rule, in words, printed where it is broken
	try  func(*kit)
}

// remembers ends the rules that a child departs from if it remembers on purpose.
const remembers = ` A child that remembers other mail on purpose (greylisting, a limit for all messages of a user) says so:
ChildTest{Remembers: true}.`

// The first rules to be tried are those that are in the way of all others.
var rules = []rule{
	{"NameAndHooks", `A child has a name that does not change. Hooks is called at the beginning of each session,
and returns at once: the MTA is waiting. What takes time belongs in the hooks, which have a ctx.`, (*kit).nameAndHooks},
	{"StopsWhenAsked", `A hook returns soon (200 ms) after its ctx is done. One that does not is given up: its goroutine and the
memory of the message are left to it, the message gets the default action, and none of the child's hooks is called again in
that session. Give every wait the ctx: select { case x := <-c: … case <-ctx.Done(): return milterkit.Fail(ctx.Err()) },
http.NewRequestWithContext, net.Dialer.DialContext, db.QueryContext. A connection that knows no ctx is woken by
context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }).`, (*kit).stopsWhenAsked},
	{"OddMail", `All mail that an MTA lets in comes to a child: without header or body, with empty values, NULs and 8-bit,
very long fields, thousands of them, a thousand recipients, one recipient twice. Each gets a verdict; a panic or a Fail puts mail off that
comes again and again.`, (*kit).oddMail},
	{"EditsApply", `A message is changed with the *Edits given to Message, before that returns. Names of fields are printable
ASCII without space and colon; addresses are one line; positions are not negative. A new body stays as it is until Reset.`, (*kit).editsApply},
	{"WritesNothing", `The bytes of a message (names and values of fields, pieces of the body) and its lists of recipients are shared
with all other children, and are what the MTA is sent. A child reads them only. bytes.Clone makes a copy that may be written
to; so does append(dst, b...) to a slice of your own. append(b, …) may write behind b, and bytes.ToLower and the like are safe.`, (*kit).writesNothing},
	{"KeepsNothing", `The bytes of a message (names and values of fields, pieces of the body) stand in memory that is used for other mail
after Reset; a piece given to Body while the message still arrives (Message.Complete is false), after the call. Copy what you
need for longer: bytes.Clone(b), or string(b). Strings that milterkit gives are safe to keep.`, (*kit).keepsNothing},
	{"SecondMessage", `A session may bring many messages, and each is answered as if it were the first: set back in Reset (or at Mail)
what belongs to one message.` + remembers, (*kit).secondMessage},
	{"AbortAtEachStage", `A message may end anywhere: the client says RSET or HELO, or is gone. Reset is called then too, and the next
message is answered as if the broken off one had not been. Set back in Reset, not in Message, what belongs to one message.` + remembers, (*kit).abortAtEachStage},
	{"SessionsAtOnce", `One child serves all sessions, at the same time. What belongs to a session are variables of the function that
makes the hooks (Hooks, or that given to NewChild), never fields of the child. What all sessions are to share needs a lock.
Run the test with -race too: it finds what is shared without one.` + remembers, (*kit).sessionsAtOnce},
	{"ClosesOnce", `Close is called once for each session, also for one in which no other hook was called, or that ended within a
message. A child that is an io.Closer can be closed when its sessions have ended.`, (*kit).closesOnce},
	{"NoGoroutineLeft", `What a hook starts ends with it, or at the latest in Close of the session. What the child has for all sessions
ends when the child is closed, if it is an io.Closer. A daemon runs for years: one goroutine a message fills the memory.`, (*kit).noGoroutineLeft},
	{"PromptKeepsItsWord", `Hooks.Prompt promises that the hooks, and the child's Hooks, return soon after their ctx is done, whatever happens. They
run on the goroutine of the session then, and nothing can end them. Without Prompt there is a worker for them, which can be given up.`, (*kit).promptKeepsItsWord},
}

// Run runs the test.
func (c ChildTest) Run(t *testing.T) {
	t.Helper()
	k, err := newKit(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rules {
		if k.applies(&rules[i]) {
			t.Run(rules[i].name, func(t *testing.T) {
				t.Helper()
				k.try(&rules[i], t)
			})
		}
	}
	k.hints(t)
}
