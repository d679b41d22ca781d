package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

const demoLong = `Show what milterkit does: start a chain of nine filters in this process, native
ones and ones on sockets of their own, take messages past it as a mail server
would, and print who said what, what was changed, and how each message ended.

It needs no configuration, no mail server and no network, and leaves nothing
behind.

Exit status: 0 when every message ended as it should, 1 when one did not.`

func newDemoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Show in a minute what milterkit does",
		Long:    demoLong,
		Example: "  milterkit demo",
		Args:    cobra.NoArgs,
	}
	color := c.Flags().String("color", "auto", "`WHEN` to print in colour: auto, always, never")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch *color {
		case "auto", "always", "never":
		default:
			return usage("--color %s: write auto, always or never", *color)
		}
		// A pipe that nobody reads any more must not end the process before it has
		// cleaned up.
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
		defer stop()
		err := demo(ctx, c.OutOrStdout(), newPaint(c.OutOrStdout(), *color), demoSessions)
		if err == nil {
			fmt.Fprint(c.OutOrStdout(), strings.ReplaceAll(demoNext, "PROGRAM", c.Root().Name()))
		}
		return err
	}
	return c
}

// demo shows everything.
func demo(ctx context.Context, w io.Writer, p paint, sessions []demoSession) error {
	dir, err := os.MkdirTemp("", "milterkit-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ledger := newDemoLedger()
	chain, err := newDemoChain(dir, slog.New(ledger))
	if err != nil {
		return err
	}
	defer chain.close()
	dispatcher, err := milterkit.NewDispatcher(chain.slots...)
	if err != nil {
		return err
	}
	dispatcher.Logger = slog.New(ledger)
	server := &milterkit.Server{Dispatcher: dispatcher, TempDir: dir}
	ln, err := net.Listen("unix", filepath.Join(dir, "milterkit.sock"))
	if err != nil {
		return err
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(ln) })
	defer serving.Wait()
	defer server.Close()

	d := &demoShow{w: w, paint: p, socket: ln.Addr().String(), slots: chain.slots, ledger: ledger}
	fmt.Fprintln(w, p.bold("The chain"))
	fmt.Fprint(w, demoDrawing)
	for _, s := range sessions {
		err := d.session(ctx, s)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			return fmt.Errorf("the session of %q: %w", s.mails[0].title, err)
		}
	}
	return d.end()
}

// A demoShow plays sessions and prints what comes of them.
type demoShow struct {
	paint
	w      io.Writer
	socket string // milterkit's
	slots  []milterkit.Slot
	ledger *demoLedger

	number int // of the message
	wrong  []string
}

// session plays one SMTP session.
func (d *demoShow) session(ctx context.Context, s demoSession) error {
	mta, err := miltertest.Dial(ctx, "unix", d.socket, miltertest.Offer{Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer mta.Close()
	defer context.AfterFunc(ctx, func() { mta.Close() })()
	player := &miltertest.Player{MTA: mta, Client: s.client()}
	if _, err := player.Open(); err != nil {
		return err
	}
	for i, m := range s.mails {
		d.number++
		fmt.Fprintf(d.w, "\n%s\n", d.bold(fmt.Sprintf("%d  %s", d.number, m.title)))
		if i > 0 {
			fmt.Fprintln(d.w, "   in the same session, over the same connections")
		}
		mail := m.mail(d.number)
		outcome, err := player.Mail(mail)
		if err != nil {
			return err
		}
		said, err := d.ledger.next(ctx)
		if err != nil {
			return err
		}
		d.message(s, mail, outcome, said)
		d.judge(m, outcome)
	}
	return player.Close()
}

// message prints one message and what came of it.
func (d *demoShow) message(s demoSession, mail miltertest.Mail, o *miltertest.Outcome, said []demoLine) {
	who := "from outside"
	if s.user != "" {
		who = "authenticated as " + s.user
	}
	to := make([]string, len(mail.To))
	for i := range mail.To {
		to[i] = mail.To[i].Addr
	}
	fmt.Fprintf(d.w, "   %s to %s, %s, subject %q\n\n", mail.From, strings.Join(to, " and "), who, mail.Message.Get("Subject"))
	fmt.Fprintf(d.w, "   %s\n", d.dim("child       said of the message, its time for it"))
	for _, l := range said {
		fmt.Fprintf(d.w, "   %-11s %s\n", l.child, d.said(l))
	}
	if len(o.Edits) > 0 {
		fmt.Fprintln(d.w, "\n   the mail server is asked to")
		for _, e := range o.Edits {
			fmt.Fprintf(d.w, "     %s\n", e)
		}
	}
	if o.Result == miltertest.Accepted {
		if text := d.messageDiff(mail.Message, o.Message); text != "" {
			fmt.Fprintf(d.w, "\n   %s\n", strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n   "))
		}
	}
	fmt.Fprintf(d.w, "\n   %s in %v", d.verdict(o), o.Elapsed.Round(100*time.Microsecond))
	if len(o.Refused) > 0 {
		fmt.Fprintf(d.w, ", for %s; %s was refused", strings.Join(o.Envelope.To, ", "), strings.Join(o.Refused, ", "))
	}
}

// said is what a child said, as it is printed.
func (d *demoShow) said(l demoLine) string {
	text := miltertest.Escape(l.said)
	switch word, _, _ := strings.Cut(text, " "); word {
	case "continue,":
		return text
	case "fail:":
		for _, s := range d.slots {
			if s.Child.Name() == l.child {
				reason := text[strings.LastIndex(text, ": ")+2:] // of a whole chain of them
				return d.red("fail: "+reason) + "; its default_action: " + s.DefaultAction.String()
			}
		}
	case "shadow":
		return d.dim(text)
	}
	return d.red(text)
}

// judge says whether a message ended as it should.
func (d *demoShow) judge(m demoMail, o *miltertest.Outcome) {
	got := demoOutcome(o)
	if got == m.want {
		fmt.Fprintf(d.w, ", %s\n", d.green("as it should"))
		return
	}
	fmt.Fprintf(d.w, ", %s\n", d.red("NOT as it should"))
	d.wrong = append(d.wrong, fmt.Sprintf("message %d, %s:\n  got  %s\n  want %s", d.number, m.title,
		strings.ReplaceAll(got, "\n", "\n       "), strings.ReplaceAll(m.want, "\n", "\n       ")))
}

// demoOutcome is an outcome in a form that can be compared.
func demoOutcome(o *miltertest.Outcome) string {
	lines := []string{o.Result.String()}
	if o.Reply != "" {
		lines[0] += " " + o.Reply
	}
	for _, r := range o.Refused {
		lines = append(lines, "refused "+r)
	}
	for _, e := range o.Edits {
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n")
}

// end says how it went.
func (d *demoShow) end() error {
	if len(d.wrong) > 0 {
		return &statusError{exitFault, errors.New("not every message ended as it should\n" + strings.Join(d.wrong, "\n"))}
	}
	fmt.Fprintf(d.w, "\n%s\n", d.green(fmt.Sprintf("All %d messages ended as they should.", d.number)))
	return nil
}

const demoNext = `
Next: write /etc/milterkit/milterkit.toml, try it with "PROGRAM check", run
"PROGRAM serve", and send a message of your own past it with "PROGRAM send".
`
