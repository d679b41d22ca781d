// Rcpt-limit bounds how many recipients a user may write to in an hour.
package main

import (
	"context"
	"flag"
	"log"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

const (
	piece    = 10 * time.Minute
	pieces   = 7      // that at hand, and the hour before it
	maxUsers = 20_000 // that are counted in one piece
)

// rcptLimit counts for all sessions together, in memory that time sets free.
func rcptLimit(limit int, now func() time.Time) milterkit.Child {
	var (
		mu     sync.Mutex             // sessions ask at the same time
		at     int64                  // the number of the piece at hand
		counts [pieces]map[string]int // recipients of each user; piece n is at n % pieces
	)
	return milterkit.OnRcpt("rcpt-limit", func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
		user := e.AuthUser()
		if user == "" {
			return milterkit.Continue
		}
		mu.Lock()
		defer mu.Unlock()
		last := now().Unix() / int64(piece.Seconds())
		for at = max(at, last-pieces); at < last; {
			at++
			counts[at%pieces] = map[string]int{}
		}
		sum, here := 0, counts[at%pieces]
		for _, count := range counts {
			sum += count[user]
		}
		if sum >= limit || here[user] == 0 && len(here) >= maxUsers {
			return milterkit.TempFail("4.7.1 too many recipients in an hour, try again later")
		}
		here[user]++
		return milterkit.Continue
	})
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{Child: rcptLimit(200, time.Now)}))
}
