// Wrap puts an old milter behind the same socket, and acts on the score that it gives.
package main

import (
	"context"
	"flag"
	"log"
	"strings"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

const score = "X-Spam-Level" // the old milter's: a star for each point

// unscored takes away scores that senders have given themselves.
func unscored() milterkit.Child {
	return milterkit.OnMessage("unscored", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.DeleteHeaders(score)
		return milterkit.Continue
	})
}

// actOnScore sees the message as the milter before it has left it.
func actOnScore() milterkit.Child {
	return milterkit.OnMessage("act-on-score", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		switch points := strings.Count(m.Get(score), "*"); {
		case points >= 15:
			return milterkit.Reject("5.7.1 this looks like spam")
		case points >= 8:
			e.Quarantine("spam score " + m.Get(score))
		case points >= 5:
			e.SetHeader("Precedence", "bulk")
		}
		return milterkit.Continue
	})
}

// around returns the old milter's place in the order.
func around(old milterkit.Child) []milterkit.Slot {
	return []milterkit.Slot{{Child: unscored()}, {Child: old}, {Child: actOnScore()}}
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	addr := flag.String("old", "/run/spamass/spamass.sock", "socket of the old milter")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, around(&remote.Milter{Label: "spamass-milter", Network: "unix", Addr: *addr})...))
}
