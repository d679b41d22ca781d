// Package bench measures milters: what a message costs in time, CPU and memory
// on its way past them, one after the other as an MTA asks them, or behind
// milterkit.
//
// It plays the MTA itself, in the milter protocol and as Postfix speaks it, so
// that nothing but the filters is measured; what the load costs is measured
// too, and told. Everything that is compared runs in one process each, takes
// the same load in turns, round by round, and is told as medians with their
// spread: a machine is never quiet, and what disturbs one round disturbs the
// contestants alike.
//
// # Reading order
//
//	scenario.go      what is played: mails, sessions, children
//	scenariofile.go  a scenario as people write it
//	mail.go          the mails
//	plan.go          a mail as the commands of an MTA
//	session.go       one session past milters
//	load.go          many sessions
//	contest.go       contestants, taking turns
//	run.go           the contest at a point, with the contestants that it has
//	lab.go           where contestants are started
//	part.go          a contestant's processes
//	filter.go        a filter that does no work
//	relay.go         a relay, the floor of what handing on each command costs
//	mux.go           milterkit itself
//	usage.go         CPU and memory of a process
//	machine.go       what it was measured on
//	report.go        all that was measured
//	result.go        medians, and their spread
//	table.go         results for people
//	benchfmt.go      results for benchstat
package bench
