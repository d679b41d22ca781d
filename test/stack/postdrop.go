package stack

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"time"
)

// Post hands Postfix a message as programs on the machine do, with the sendmail
// command and not by SMTP. The message's lines end as Unix has them.
func (p *Postfix) Post(ctx context.Context, from string, message []byte, to ...string) error {
	path, err := program("sendmail")
	if err != nil {
		return err
	}
	args := append([]string{"-C", p.Root.Path("postfix", "etc"), "-i", "-f", from, "--"}, to...)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = bytes.NewReader(message)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("stack: %v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// Collect has Postfix take up what was posted, also what it has tried before.
func (p *Postfix) Collect() error {
	conn, err := net.Dial("unix", p.Root.Path("postfix", "queue", "public", "pickup"))
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte("W")) // TRIGGER_REQ_WAKEUP
	return err
}

// AwaitCollected waits until nothing that was posted is left.
func (p *Postfix) AwaitCollected(ctx context.Context) error {
	return p.awaitThat(ctx, "a message is still in the maildrop", func() (bool, error) {
		posted, err := p.Posted()
		return len(posted) == 0, err
	})
}

// notified is what the mail log says of a message that was sent back.
var notified = regexp.MustCompile(`(\w+): sender non-delivery notification: (\w+)`)

// AwaitReturned waits until n messages in all have been sent back. It returns
// the queue id of the last of them, and that of the message that tells so.
func (p *Postfix) AwaitReturned(ctx context.Context, n int) (id, notice string, err error) {
	err = p.awaitThat(ctx, "the message has not been sent back", func() (bool, error) {
		text, err := os.ReadFile(p.maillog())
		all := notified.FindAllSubmatch(text, -1)
		if len(all) < n {
			return false, err
		}
		id, notice = string(all[n-1][1]), string(all[n-1][2])
		return true, nil
	})
	return id, notice, err
}

// awaitThat waits until something is so.
func (p *Postfix) awaitThat(ctx context.Context, not string, done func() (bool, error)) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: %s: %w\n%s", not, ctx.Err(), p.Log())
		case <-tick.C:
		}
	}
}

// Posted are the names of the messages that were posted and that Postfix has
// not taken into its queue.
func (p *Postfix) Posted() ([]string, error) {
	entries, err := os.ReadDir(p.Root.Path("postfix", "queue", "maildrop"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
