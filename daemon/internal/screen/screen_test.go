package screen

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
)

func status() *statuspage.Status {
	now := time.Date(2030, 5, 6, 12, 0, 0, 0, time.Local)
	down := now.Add(-time.Minute)
	ms := func(v float64) *float64 { return &v }
	from := "alice@example.org"
	sum := func(n uint64) history.Sum {
		return history.Sum{Messages: map[string]uint64{"accept": n, "reject": n / 2}, Peak: 7}
	}
	return &statuspage.Status{
		Program: "milterkit", Version: "v1", Host: "mail", Now: now, Started: now.Add(-50 * time.Hour), Ready: true, Generation: 3, Loaded: now.Add(-time.Hour),
		Sessions: statuspage.Sessions{Now: 12, Max: 200}, Memory: statuspage.Memory{Messages: 3 << 20, MaxMessages: 256 << 20, Process: 40 << 20},
		Minute: sum(4), Hour: sum(250), Day: sum(18597),
		Milters: []statuspage.Milter{{Name: "opendkim", State: "up"}, {Name: "scanner", State: "down", Since: &down, Why: "connection refused"}},
		Series: history.Series{Span: "hour", Milters: []history.MilterSeries{
			{Name: "opendkim", Total: history.Totals{Messages: 387, P50: ms(6.3), P95: ms(16)}},
			{Name: "scanner", Total: history.Totals{Messages: 341, Failures: 42, P50: ms(97), P95: ms(4600)}},
		}},
		Last: []statuspage.Brief{{Time: now, QueueID: "4X1", From: &from, To: "bob@example.test", Rcpts: 3, Outcome: "reject", By: "scanner", Code: 550, Reply: "5.7.1 no"}},
	}
}

func shown(t *testing.T, s *statuspage.Status, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, s, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// One screen says what an administrator asks first.
func TestOneScreen(t *testing.T) {
	text := shown(t, status(), Options{})
	for _, want := range []string{
		"milterkit on mail, running for 2 days, v1", "generation 3, loaded 11:00:00",
		"accepted            4      250     18,597   sessions 12 of 200", "memory   3 MiB of 256 MiB",
		"opendkim  up             387       0   6.3 ms    16 ms  █", "scanner   down           341      42    97 ms    4.6 s  ██████",
		"since 11:59:00: connection refused",
		"12:00:00 rejected  4X1 <alice@example.org> to <bob@example.test> and 2 more", "  scanner: 550 5.7.1 no",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n > 24 {
		t.Errorf("%d lines", n)
	}
}

// What could not be loaded is said, and what becomes of the daemon.
func TestTroubleIsSaid(t *testing.T) {
	s := status()
	s.Ready, s.Unsaved, s.Sessions.Waiting = false, "no journal", 3
	s.Refused = &statuspage.RefusedReload{At: s.Now, Error: "f:1:2: one\nf:2:3: two"}
	text := shown(t, s, Options{})
	for _, want := range []string{"not loaded again at 12:00:00", "  f:1:2: one", "  f:2:3: two", "it is ending", "not kept over restarts", "3 wait for a place"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// What comes from mail, from a milter or from a file commands no terminal, and makes
// no line longer than the terminal.
func TestHostileTextIsShownOnly(t *testing.T) {
	evil := "\x1b]0;x\x07\x1b[2J\u202e\u009b31m\r\n\x00日本語" + strings.Repeat("\u0301界", 300)
	s := status()
	s.Host, s.Milters[1].Name, s.Milters[1].Why = "\x1b[2J", evil, evil
	s.Refused = &statuspage.RefusedReload{At: s.Now, Error: evil}
	s.Last[0] = statuspage.Brief{Time: s.Now, QueueID: evil, From: &evil, To: evil, Outcome: "reject", By: evil, Code: 550, Reply: evil}
	s.Last = append(s.Last, statuspage.Brief{Time: s.Now, Client: evil, Outcome: "tempfail"})
	for _, columns := range []int{60, 80, 200} {
		for line := range strings.Lines(shown(t, s, Options{Width: columns})) {
			line = strings.TrimSuffix(line, "\n")
			if width(line) > columns {
				t.Errorf("%d columns of %d: %s", width(line), columns, line)
			}
			for _, r := range line {
				if !unicode.IsPrint(r) {
					t.Fatalf("%q", line)
				}
			}
		}
	}
}

// A small terminal gets no more lines than it has; a plain one no characters of
// ours that it may not have.
func TestSmallAndPlain(t *testing.T) {
	if text := shown(t, status(), Options{Height: 5, Width: 10}); strings.Count(text, "\n") != 5 {
		t.Errorf("%s", text)
	}
	text := shown(t, status(), Options{Plain: true})
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) || !strings.Contains(text, "####") {
		t.Errorf("%s", text)
	}
	if text := shown(t, status(), Options{Color: true}); !strings.Contains(text, "\x1b[31m"+fmt.Sprintf("%-9s", "down")) {
		t.Errorf("%q", text)
	}
}

// What keeps milterkit from a milter is not cut off behind what the system says of it.
func TestReason(t *testing.T) {
	for why, want := range map[string]string{
		"dial unix /run/s: connect: permission denied; the user m": "/run/s: permission denied; the user m",
		"dial tcp 192.0.2.1:8891: connect: connection refused":     "192.0.2.1:8891: connection refused",
		"no answer in time":                "no answer in time",
		"dial tcp: lookup x: no such host": "dial tcp: lookup x: no such host",
		"x: connect: y":                    "x: connect: y",
	} {
		if got := reason(why); got != want {
			t.Errorf("%q: %q", why, got)
		}
	}
}
