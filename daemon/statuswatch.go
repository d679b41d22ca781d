package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// watchEvery is the time between two looks.
const watchEvery = 2 * time.Second

// What a terminal is told.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l" // without a cursor
	firstScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// watch shows it until q or a signal; on a terminal always in the same place.
func (v *statusView) watch(ctx context.Context, in io.Reader) error {
	ctx, quit := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer quit()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	draw := v.print
	if columns, _ := terminalSize(v.out); columns > 0 && !v.json {
		draw = v.draw
		if keyboard, ok := in.(*os.File); ok {
			defer keysAtOnce(keyboard)()
			go untilQ(keyboard, quit)
		}
		io.WriteString(v.out, otherScreen)
		defer io.WriteString(v.out, firstScreen)
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := draw(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-resized:
		}
	}
}

// untilQ reads keys until there are no more, or q.
func untilQ(keys io.Reader, quit func()) {
	key := make([]byte, 1)
	for {
		if _, err := keys.Read(key); err != nil {
			return
		}
		if key[0] == 'q' || key[0] == 'Q' {
			quit()
			return
		}
	}
}

// print writes it once more, for what is no terminal.
func (v *statusView) print(ctx context.Context) error {
	var b strings.Builder
	if _, err := v.show(ctx, &b, v.options()); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "%s %v\n", time.Now().Format(time.TimeOnly), err)
		return nil
	}
	if !v.json {
		b.WriteString("\n")
	}
	_, err := io.WriteString(v.out, b.String())
	return err
}

// draw writes it over what the terminal shows.
func (v *statusView) draw(ctx context.Context) error {
	var b strings.Builder
	o := v.options()
	_, lines := terminalSize(v.out)
	o.Height = max(lines-2, 1) // this line, and the one that the cursor is in
	if _, err := v.show(ctx, &b, o); err != nil {
		fmt.Fprintln(&b, err)
	}
	if ctx.Err() != nil {
		return nil
	}
	text := fmt.Sprintf("%s, every %v; q ends\n", time.Now().Format(time.TimeOnly), watchEvery) + b.String()
	_, err := io.WriteString(v.out, toTop+strings.ReplaceAll(text, "\n", clearLine+"\n")+clearBelow)
	return err
}
