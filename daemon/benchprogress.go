package daemon

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/bench"
)

// A benchProgress says in one line of a terminal how far bench is. Anywhere else
// it says nothing.
type benchProgress struct {
	terminal *os.File // nil: there is none
	contests int
	rounds   int
	estimate time.Duration // of all contests
	began    time.Time
}

func newBenchProgress(w io.Writer, contests, rounds int) *benchProgress {
	p := &benchProgress{contests: contests, rounds: rounds, began: time.Now()}
	if f, ok := w.(*os.File); ok && columns(f) > 0 {
		p.terminal = f
	}
	return p
}

// columns returns how wide a terminal is; 0 where it is none.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 { // it does not say
		return 80
	}
	return int(size.Col)
}

// contest returns what is to be told of the turns of the contest of that number.
func (p *benchProgress) contest(i int, point *bench.Point) func(int, *bench.Contestant) {
	if p.terminal == nil {
		return nil
	}
	return func(round int, c *bench.Contestant) {
		at := fmt.Sprintf("round %d of %d", round, p.rounds)
		if round == 0 {
			at = "warming up"
		}
		left := max(p.estimate-time.Since(p.began), 0).Round(time.Second)
		line := fmt.Sprintf("%d of %d, %v left, about; %s: %s; %s", i+1, p.contests, left, at, c.Name, point)
		if most := columns(p.terminal) - 1; len(line) > most {
			line = line[:max(most, 0)]
		}
		fmt.Fprint(p.terminal, "\r\x1b[K"+line)
	}
}

// clear takes the line away.
func (p *benchProgress) clear() {
	if p.terminal != nil {
		fmt.Fprint(p.terminal, "\r\x1b[K")
	}
}
