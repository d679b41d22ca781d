// Peers measures what milterkit costs, beside what people would use in its
// place: the same filters asked by the MTA one after another, a relay that looks
// at nothing, filters on other libraries behind a socket of their own, and
// Postfix end to end. `make bench` at the top of the tree runs it.
//
// It is a module of its own, so that nobody who uses the library needs what is
// compared with it. What is not installed is left out, and named in the report
// with what installs it.
//
// # Reading order
//
//	main.go          sections, flags
//	run.go           what the sections have in common
//	goal.go          goals
//	core.go          milterkit against the relay, and against the filters directly
//	native.go        native children against remote ones
//	peer.go          filters on other libraries, as processes
//	emersion.go      on emersion/go-milter
//	dj.go            on d--j/go-milter
//	libmilter/       on libmilter, in C
//	postfix.go       Postfix, end to end: what is started
//	postfixgoals.go  what is held there
//	source.go        mail by smtp-source
//	letter.go        a mail for filters that look at it
//	many.go          memory, with many sessions and with large messages
//	output.go        the report, data.go as data, page/ as a page
package main
