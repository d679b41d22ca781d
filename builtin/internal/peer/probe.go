package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Probe asks each server, all at the same time, whether it is there: it is sent
// question, and its answer has a line, or up to a NUL, that begins with answer. The
// error has those that are not, and why. Whom Try asks is not changed by it.
func (l *List) Probe(ctx context.Context, question, answer string) error {
	errs := make([]error, len(l.addrs))
	var work sync.WaitGroup
	for i, a := range l.addrs {
		work.Go(func() {
			if err := a.probe(ctx, question, answer); err != nil {
				errs[i] = fmt.Errorf("%s: %w", a, err)
			}
		})
	}
	work.Wait()
	var silent failures
	for _, err := range errs {
		if err != nil {
			silent = append(silent, err)
		}
	}
	if silent == nil {
		return nil
	}
	return silent
}

func (a Addr) probe(ctx context.Context, question, answer string) error {
	conn, err := a.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = io.WriteString(conn, question)
	var got []byte
	r := bufio.NewReader(io.LimitReader(conn, 1<<10))
	for err == nil {
		var c byte
		if c, err = r.ReadByte(); err != nil {
			break
		}
		if c != 0 && c != '\n' {
			got = append(got, c)
			continue
		}
		if strings.HasPrefix(string(got), answer) {
			return nil
		}
		got = got[:0]
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("connected, but there was no answer in time")
	case errors.Is(err, io.EOF):
		return fmt.Errorf("connected, but what answers does not say %q", answer)
	}
	return Reason(err)
}
