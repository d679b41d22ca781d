package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/milterkit"
)

// What descriptors are needed for besides the connections of MTAs.
const (
	ownDescriptors = 64 // listeners, log, status page, looking for milters
	perSession     = 2  // the MTA's connection and a file for what is beyond max_memory; and those of its children
)

// descriptorsOf returns how many a session needs for its children: a connection for
// each milter on a socket; for each native one that asks others a connection, and a
// file to hand over.
func descriptorsOf(children []probe) int {
	n := 0
	for _, p := range children {
		if n++; p.where == "" {
			n++
		}
	}
	return n
}

// limitSessions sets how many sessions and connections the server takes, so that
// the sessions never want for descriptors: an eighth of them is for MTAs that
// wait for a place. It returns what an administrator should know of it, or "".
func limitSessions(s *milterkit.Server, wanted, each int) string {
	limit := descriptorLimit()
	sessions, connections := room(limit, wanted, each)
	s.MaxSessions, s.MaxConnections = sessions, connections
	switch {
	case sessions < wanted:
		return fmt.Sprintf("max_sessions = %d takes %d descriptors, and the limit is %d (LimitNOFILE, ulimit -n): sessions at one time: %d",
			wanted, descriptorsFor(wanted, each), limit, sessions)
	case wanted == 0 && sessions < fewSessions:
		return fmt.Sprintf("the limit of descriptors is %d (LimitNOFILE, ulimit -n): sessions at one time: %d; %d of them take %d",
			limit, sessions, fewSessions, descriptorsFor(fewSessions, each))
	}
	return ""
}

// fewSessions is how many a mail server soon has: less than the 100 smtpds that
// Postfix runs at most by default. Source: default_process_limit in postconf(5).
const fewSessions = 100

// room returns how many sessions and connections so many descriptors allow.
// wanted is max_sessions.
func room(limit, wanted, each int) (sessions, connections int) {
	sessions = max(1, (limit-ownDescriptors-limit/8)/(perSession+each))
	if wanted > 0 {
		sessions = min(sessions, wanted)
	}
	// What the sessions do not need is for the connections of those that wait.
	return sessions, max(sessions+1, limit-ownDescriptors-sessions*(perSession+each-1))
}

// descriptorsFor is the least limit under which there is room for so many
// sessions.
func descriptorsFor(sessions, each int) int {
	need := sessions*(perSession+each) + ownDescriptors
	return (need*8 + 6) / 7
}

// descriptorLimit returns how many descriptors the process may have. Go has
// raised its own limit to the hard one already.
func descriptorLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || uint64(r.Cur) > 1<<30 {
		return 1 << 30
	}
	return int(r.Cur)
}
