package daemon

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A replayProgress says in one line of a terminal how far replay is. Anywhere else it
// says nothing.
type replayProgress struct {
	terminal *os.File // nil: there is none
	total    int64    // bytes of all messages; 0: not known
	done     int64
	messages int
	began    time.Time
	shown    time.Time
}

// Few messages need no progress, and a line that changes all the time is hard to read.
const (
	progressAfter = time.Second
	progressEvery = 100 * time.Millisecond
)

func newReplayProgress(w io.Writer, total int64) *replayProgress {
	p := &replayProgress{total: total, began: time.Now()}
	if f, ok := w.(*os.File); ok && columns(f) > 0 {
		p.terminal = f
	}
	return p
}

// add notes that another message is done.
func (p *replayProgress) add(size int64) {
	p.done += size
	p.messages++
	if time.Since(p.shown) >= progressEvery {
		p.show()
	}
}

// show shows the line.
func (p *replayProgress) show() {
	took := time.Since(p.began)
	if p.terminal == nil || took < progressAfter {
		return
	}
	p.shown = time.Now()
	line := p.line(took)
	if most := columns(p.terminal) - 1; len(line) > most {
		line = line[:max(most, 0)]
	}
	fmt.Fprint(p.terminal, "\r\x1b[K"+line)
}

// line is a bar with how much is done and how long the rest takes, about.
func (p *replayProgress) line(took time.Duration) string {
	text := fmt.Sprintf("%d message%s, %.0f a second", p.messages, plural(p.messages), float64(p.messages)/took.Seconds())
	if p.total <= 0 || p.done <= 0 {
		return text
	}
	const width = 24
	part := min(float64(p.done)/float64(p.total), 1)
	left := time.Duration(float64(took) * (1 - part) / part).Round(time.Second)
	bar := make([]byte, width)
	for i := range bar {
		bar[i] = '.'
		if float64(i) < part*width {
			bar[i] = '#'
		}
	}
	return fmt.Sprintf("[%s] %3.0f %%  %s, %v left, about", bar, part*100, text, left)
}

// clear takes the line away.
func (p *replayProgress) clear() {
	if p.terminal != nil && !p.shown.IsZero() {
		fmt.Fprint(p.terminal, "\r\x1b[K")
	}
}

// end takes it away for good.
func (p *replayProgress) end() {
	p.clear()
	p.terminal = nil
}
