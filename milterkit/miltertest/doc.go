// Package miltertest plays both ends of a milter connection.
//
// [MTA] is the end that Postfix or Sendmail has: it dials a filter, negotiates
// and sends commands one by one, and tells what the filter answered. [Player]
// takes whole SMTP sessions and messages past an MTA, as Postfix would, and
// [Message] becomes what the filter's edits make of it.
//
// [Filter] is the other end: it listens, answers as its [Script] says, and
// notes all that it was told. Its misbehaviour is data like the rest of its
// script; see [Faults].
//
// Both speak the protocol itself and know nothing of milterkit's dispatcher, so
// they serve to test any milter and any MTA, and the one can test the other:
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
//
// [Run] and [Play] play scripts that are files, at children in this process or at
// any milter on a socket: commands, and the answers that are right.
//
// [TestChild] looks whether a child keeps to the rules of package milterkit.
//
// # Files, in reading order
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
// Scripts, for [Run] and [Play]:
//
//	transcript.go         a script: its lines, and the order of its commands
//	transcriptcommand.go  the commands
//	transcriptanswer.go   the answers, and how they are compared
//	transcriptplay.go     a script, played as Postfix would
//	transcriptrun.go      Run and Play
//
// A [Conformance] looks whether a milter keeps to the protocol:
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
// [TestChild], the rules for children:
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
package miltertest
