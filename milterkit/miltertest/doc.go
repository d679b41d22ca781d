// Package miltertest tests mail filters: children of milterkit, milters on a socket,
// and the MTA's end.
//
// [TestChild] is for every child: one line in its test looks whether it keeps to the
// rules of package milterkit. [ChildTest] is the same with mail of your own.
//
//	func TestRules(t *testing.T) {
//		miltertest.TestChild(t, func() milterkit.Child { return newFilter() })
//	}
//
// [Run] is for what a child answers: it plays a script, a file of commands and the
// answers that are right, at children in this process. [Play] plays the same file at
// any milter on a socket.
//
//	miltertest.Run(t, "testdata/recipients.txt", milterkit.Slot{Child: newFilter()})
//
// [Clock] and [Resolver] are the time and the DNS of such tests.
//
// [Filter] stands in for a milter where an MTA, or what dials milters, is tested: it
// listens, answers as its [Script] says, misbehaves if that has [Faults], and notes
// all that it was told.
//
// [MTA] stands in for Postfix or Sendmail where a script does not do: it dials a
// filter and sends commands one by one. A [Player] takes whole sessions and messages
// past one, as Postfix would, and [Message] becomes what the edits make of it.
//
// [Conformance] looks whether a milter, any milter, keeps to the protocol.
//
// Filter, MTA and Conformance speak the protocol themselves and know nothing of milterkit's
// dispatcher, so the one can test the other:
//
//	f := &miltertest.Filter{Script: miltertest.Script{
//		On: map[byte][]miltertest.Answer{
//			wire.CmdRcpt: {{If: "nobody@", Text: "550 5.1.1 no such user"}},
//		},
//	}}
//	addr, err := f.Start("unix", filepath.Join(dir, "filter"))
//	…
//	m, err := miltertest.Dial(ctx, "unix", addr, miltertest.Offer{})
//	…
//	reply, err := m.Rcpt("<nobody@example.org>") // 550 5.1.1 no such user
package miltertest

// Reading order of the files:
//
//	words.go     names of the commands; text made safe to print
//	reply.go     what a filter answers
//	edit.go      what a filter asks for at the end of a message
//	offer.go     what an MTA offers
//	mta.go       the MTA's end: frames out, frames in
//	commands.go  the MTA's commands
//	message.go   a message taken apart and put together
//	apply.go     edits, applied as Postfix applies them
//	macros.go    which macros go with which command
//	play.go      whole sessions and messages, as an MTA plays them
//	content.go   the content of a message, as an MTA plays it
//	script.go    what a filter is to do
//	fault.go     what a filter can do wrong
//	event.go     what a filter saw
//	filter.go    the filter's end: listening, and what was seen
//	session.go   the filter's end: one connection
//
// Scripts, for Run and Play:
//
//	transcript.go         a script: its lines, and the order of its commands
//	transcriptcommand.go  the commands
//	transcriptanswer.go   the answers, and how they are compared
//	transcriptplay.go     a script, played as Postfix would
//	transcriptrun.go      Run and Play
//
// A Conformance looks whether a milter keeps to the protocol:
//
//	conform.go       the checks, and what is found
//	conformcheck.go  sessions, good and broken off
//	conformodd.go    odd mail and odd clients
//	conformahead.go  header and body, sent ahead
//
// For children that ask for the time, or a name server:
//
//	clock.go     a clock that is set
//	resolver.go  a resolver that knows a few names
//
// TestChild, the rules for children:
//
//	testchild.go       TestChild, and the rules in words
//	testchildrules.go  how they are tried
//	testchildcut.go    those about what breaks off, and what goes on at the same time
//	kit.go             one run of it: what is found, and when to end
//	kitchild.go        one child under test
//	kitvisit.go        one session past it, stage by stage
//	kithooks.go        what stands between the Walk and its hooks
//	kitedits.go        the edits it asks for
//	kitcall.go         a function of the child under way: panics, and not returning
//	kitstacks.go       where its goroutines stand
//	kitmemory.go       the bytes of a message
//	kitanswer.go       what it says, and how that is compared
//	kitletter.go       ordinary mail
//	kitodd.go          odd mail
