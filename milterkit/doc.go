// Package milterkit puts many mail filters behind one milter socket.
//
// An MTA hands each message, stage by stage, to a mail filter. milterkit takes
// that one conversation past any number of filters, its children, and answers
// as the MTA would have been answered had it asked each of them in turn:
//
//	MTA ── Server ── Dispatcher ── Child, Child, Child
//	  ╰──── reply ──── Verdict, Edits ────╯
//
// A child is native, a few functions in this process ([OnMessage], [OnRcpt],
// [Hooks]), or remote, an existing milter on a socket (package remote). The
// Dispatcher cannot tell them apart.
//
// # Order
//
// Children are asked in the order of their slots. Connect, helo, mail, each
// rcpt, data and unknown are asked child by child; the content of a message
// (header, body, end) is one stage. The first verdict in order that is not
// Continue is the answer, and the children after it are not asked; an Accept
// ends one child's part and never the others'. A child sees the message with
// the edits of those before it. Slots marked Together are asked about the
// content at the same time and see the same message; the outcome is as if they
// had been asked in order on that message.
//
// # Memory
//
// Strings are safe to keep. Byte slices are views of memory that all children
// share: do not write to them, and do not keep them past the Reset of the
// message; a piece that a Body hook is shown while the message still arrives
// (see [Message.Complete]), not past the call. A body byte stays where it was read
// from the MTA's socket until the last child is done with it.
//
// # Failure
//
// A child that fails, panics or takes too long does not take the message with
// it: its slot's DefaultAction says what happens, by default that the client is
// to try again. A failure lasts for one message. A failure at connect or helo
// is answered Continue there, and the default action is due at MAIL; a failure
// from MAIL on holds for all the rest of the message.
//
// # Concurrency
//
// The hooks of one child in one session are never called at the same time;
// those of different sessions are, and those of a group of slots that run
// together. A hook that does not return after its ctx is done is given up: the
// session goes on without that child. Hooks that promise to return ([Hooks].Prompt),
// as those of remote children do, may run on the goroutine that asks, and are waited
// for.
package milterkit

// Reading order: the files, top to bottom as a message goes through the house:
//
//	listen.go      the shortest way to serve
//	server.go      the sockets: accept, Shutdown, Close
//	replace.go     another Dispatcher for a Server that runs
//	limits.go      places for sessions and connections, and what if there is none
//	stats.go       figures of a Server
//	conn.go        one MTA connection, and the memory of its messages
//	mta.go         the manners of Postfix and of Sendmail
//	negotiate.go   what is asked of the MTA
//	command.go     one method for each command of the MTA
//	answer.go      verdicts and edits on their way back
//	dispatcher.go  the slots in their order
//	walk.go        one SMTP session past the children, stage by stage
//	part.go        one child's part in a session
//	view.go        what it is shown
//	content.go     header, body and end of message; groups
//	whole.go       content that is there as a whole
//	outcome.go     what the children have made of a message
//	newbody.go     a new body, as the children after it see it
//	run.go         the hooks, as a worker runs them
//	worker.go      hooks under way: time, and giving up
//	hookctx.go     a hook's ctx, and Progress
//	report.go      what is logged and reported
//	event.go       who was asked, and said what
//	child.go       Child and Hooks
//	slot.go        Slot and DefaultAction
//	condition.go   Condition
//	earlier.go     what a condition knows of the children before
//	stage.go       Stage
//	session.go     Session, Envelope and macros
//	address.go     Address
//	actions.go     Actions
//	message.go     Message and its fields
//	verdict.go     Verdict
//	reply.go       the text of SMTP replies
//	edits.go       Edit and Edits
//	defaults.go    what is done where nothing is said
//	errors.go      errors
