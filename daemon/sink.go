package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/listen"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

const sinkLong = `Play a milter: listen on SOCKET, print what the mail server tells, and answer as
the flags say. Without flags the answer is continue to everything. It is for
trying out a mail server's configuration, and milterkit's.

A verdict is one of
  continue, accept, reject, tempfail, discard, skip
  a reply in its own words, such as "550 5.7.1 go away"
  close   the connection is closed
  hang    there is no answer, in this session any more
and may have words before it, each with a comma after it:
  delay:2s      wait first
  progress:3    ask the mail server for patience first
  if:TEXT       only where the command contains TEXT
  nth:2         only for the second of its kind, of a message or of the session
  message:2     only in the second message of a session
Each of the flags for a stage may be repeated; the first verdict that fits is
given. So --rcpt "if:nobody@,550 5.1.1 no such user" refuses one recipient.

It ends with status 0 on SIGTERM and SIGINT.`

const sinkExample = `  milterkit sink unix:/tmp/sink.sock
  milterkit sink inet:8891@127.0.0.1 --rcpt "if:nobody@,550 5.1.1 no such user"
  milterkit sink inet:8891@127.0.0.1 --eom delay:2s,accept --add-header "X-Sink: yes" --quarantine "for a look"
  milterkit sink unix:/tmp/sink.sock --no helo,data --no-reply header,body --macros "connect: {client_addr} j"`

func newSinkCommand() *cobra.Command {
	o := &sinkOptions{}
	c := &cobra.Command{
		Use:     "sink SOCKET",
		Short:   "Play a milter that does as it is told",
		Long:    sinkLong,
		Example: sinkExample,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return o.run(ctx, args[0], c.OutOrStdout())
		},
	}
	o.declare(c.Flags())
	return c
}

// run serves until ctx is done.
func (o *sinkOptions) run(ctx context.Context, spec string, stdout io.Writer) error {
	socket, err := config.ParseSocket(spec)
	if err != nil {
		return usage("%w", err)
	}
	script, err := o.script()
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(o.mode, 8, 9)
	if err != nil {
		return usage("--mode %s: write an octal number, such as 0660", o.mode)
	}
	in, err := listen.Inherit()
	if err != nil {
		return trouble(err)
	}
	lns, err := listen.Open([]config.Socket{socket}, listen.Owner{Mode: fs.FileMode(mode), Group: -1}, in)
	if err != nil {
		return trouble(err)
	}
	print := &sinkPrinter{w: stdout, verbose: o.verbose}
	f := &miltertest.Filter{Script: script}
	if !o.quiet {
		f.OnEvent = print.event
		print.line("listening on %s", socket)
	}
	errs := make(chan error, len(lns)) // room for all: nobody may read them
	var serving sync.WaitGroup
	for _, ln := range lns {
		serving.Go(func() { errs <- f.Serve(ln) })
	}
	defer serving.Wait()
	defer f.Close()
	return o.wait(ctx, f, errs)
}

// wait waits for the end: of the first session with --once, of a listener, of
// ctx.
func (o *sinkOptions) wait(ctx context.Context, f *miltertest.Filter, errs <-chan error) error {
	over := make(chan struct{})
	if o.once {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if f.Idle(ctx, 1) == nil {
				close(over)
			}
		}()
		defer func() { cancel(); <-ended }()
	}
	select {
	case <-over:
	case <-ctx.Done():
	case err := <-errs:
		return trouble(err)
	}
	return nil
}

// A sinkPrinter prints events of many sessions, one line each.
type sinkPrinter struct {
	mu      sync.Mutex
	w       io.Writer
	verbose bool
}

func (p *sinkPrinter) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// event prints one event, with the number of its session before it. Macros that
// go with a part of the content are left out: they are the same each time.
func (p *sinkPrinter) event(e miltertest.Event) {
	if e.Cmd == wire.CmdMacros {
		_, rest, _ := strings.Cut(e.Text, " ")
		of, list, _ := strings.Cut(rest, " ")
		cmd := miltertest.Command(of)
		if !p.verbose && (list == "" || cmd == wire.CmdHeader || cmd == wire.CmdBody) {
			return
		}
	}
	text := e.String()
	for _, x := range e.Edits {
		text += "\n" + strings.Repeat(" ", 6) + x.String()
	}
	p.line("%3d  %s", e.Session, text)
}

// errVerdict says what a verdict can be.
var errVerdict = errors.New(`write continue, accept, reject, tempfail, discard, skip, close, hang or a reply such as "550 5.7.1 no"`)
