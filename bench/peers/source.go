package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/milterkit/sdk/bench"
)

// A source plays mail by Postfix's smtp-source: a connection for each message,
// as most mail comes.
type source struct {
	program  string
	to       string // where smtpd listens
	sessions int
	size     int
	file     string        // the message; "": made by smtp-source, of that size
	least    int           // messages in a turn
	drain    func() error  // waits until the mail is out of the way again
	each     time.Duration // that a message took last time
}

// stuck is how much longer than it should a turn may take.
const stuck = 90 * time.Second

// play plays for a time, as near as can be told from the time before: the wall
// time is that of one run of smtp-source. It does not tell times of sessions.
func (s *source) play(ctx context.Context, d time.Duration) (bench.Run, error) {
	n := s.messages(d)
	args := []string{"-s", strconv.Itoa(s.sessions), "-m", strconv.Itoa(n), "-M", "client.example.org",
		"-f", "alice@example.org", "-t", "bob@example.net"}
	if s.file != "" {
		args = append(args, "-F", s.file)
	} else {
		args = append(args, "-l", strconv.Itoa(s.size))
	}
	ctx, cancel := context.WithTimeout(ctx, d+stuck)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, append(args, s.to)...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(began)
	if err != nil {
		return bench.Run{}, fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	s.each = wall / time.Duration(n)
	return bench.Run{Wall: wall, Sessions: n, Messages: n, Times: hdrhistogram.New(1, 60_000_000, 3)}, s.drain()
}

// messages returns how many messages make a turn.
func (s *source) messages(d time.Duration) int {
	if s.each == 0 {
		return s.least
	}
	return max(s.least, int(d/s.each))
}

// emptied returns a function that waits until Postfix has no mail any more that
// it still does something about.
func emptied(queue string) func() error {
	return func() error {
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			left := 0
			for _, name := range []string{"incoming", "active", "deferred"} {
				err := filepath.WalkDir(filepath.Join(queue, name), func(_ string, d os.DirEntry, err error) error {
					if err == nil && !d.IsDir() {
						left++
					}
					return nil // a message may be gone by now
				})
				if err != nil {
					return err
				}
			}
			if left == 0 {
				return nil
			}
			if time.Now().After(end) {
				return fmt.Errorf("after a minute %d messages are still in Postfix's queue", left)
			}
		}
	}
}
