// Rcpt-limit bounds how many recipients a user may write to in an hour.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

const maxUsers = 100_000 // that are counted in one hour

// rcptLimit counts for all sessions together, in memory that each hour sets free.
func rcptLimit(limit int, now func() time.Time) milterkit.Child {
	var (
		mu    sync.Mutex // sessions ask at the same time
		hour  time.Time
		count map[string]int // recipients of each user in that hour
	)
	return milterkit.OnRcpt("rcpt-limit", func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) milterkit.Verdict {
		user := e.AuthUser()
		if user == "" {
			return milterkit.Continue
		}
		mu.Lock()
		defer mu.Unlock()
		if h := now().Truncate(time.Hour); !h.Equal(hour) {
			hour, count = h, map[string]int{}
		}
		if n, known := count[user]; n >= limit || !known && len(count) >= maxUsers {
			return milterkit.TempFail("4.7.1 too many recipients in an hour, try again in the next")
		}
		count[user]++
		return milterkit.Continue
	})
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8890", "where the mail server finds it")
	flag.Parse()
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: rcptLimit(200, time.Now)})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&milterkit.Server{Dispatcher: chain}).Serve(ln))
}
