package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/milterkit/sdk/builtin/greylist"
	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/milterkit"
)

const replayLong = `Take messages past the milters of the configuration, as if Postfix had just
received them, and print what came of each: who said what, and what was
changed. No mail server takes part, and no mail is sent.

FILE is a message, an mbox, a maildir (cur and new), a folder of messages; - is
standard input. For one message there is the trace and a diff, for many one
line each and a summary. With --against only those are told of which a second
configuration treats otherwise.

What is not given by flags is taken from the message: the sender from
Return-Path, the line of an mbox or From; the recipients from X-Original-To,
Envelope-To, X-Envelope-To, Delivered-To, Received or To; the client, HELO,
login, TLS and queue ID from the first Received field that has a client which
is not this machine itself. Where that says nothing the client is
mx.example.net [192.0.2.1], the sender sender@example.com, the recipient
receiver@example.org. --ignore-header takes nothing from the message.

A message goes past as it is in the file, with all that was added to it since.
--as-received takes off what came on top: all down to our own Received field,
and Authentication-Results of the server that this field names. What milters
add elsewhere, --strip takes off by name: 'X-Spam-*', DKIM-Signature.

What is really asked: milters on sockets, clamd, spamd, rspamd and DNS, as for
all mail. What they remember of mail themselves (what they learn by it without
being told to, how much came from whom) they remember of this too. What is not
touched: the mail server, the journal, the metrics, and what greylisting
remembers, which is looked at only: mail that has passed does pass, and new
mail is put off, now and at each replay. --remember lets it remember, --without
NAME leaves a milter out.

Started as root, it gives up root's rights as serve does, for those of the user
of the first configuration. Messages are read with the rights of who started
it.

Exit status: 0 when every message was accepted for all its recipients, 1 when
one was refused, put off, discarded or held, or a recipient was. With
--against: 0 when there is no difference, 1 when there is one. 2 for a wrong
command line, 3 when a message could not be read, or not all were taken past
the milters; 78 when a configuration is wrong.`

const replayExample = `  milterkit replay message.eml
  milterkit replay --client 192.0.2.7 --from '<>' --to bob@example.org - < message.eml
  milterkit replay --as-received --strip 'X-Spam-*' ~/Maildir
  milterkit replay --against new.toml --as-received /var/mail/archive.mbox`

func newReplayCommand(all natives) *cobra.Command {
	o := &replayOptions{}
	c := &cobra.Command{
		Use:     "replay FILE...",
		Short:   "Take messages past the milters without a mail server",
		Long:    replayLong,
		Example: replayExample,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("which messages? Name files, mboxes, maildirs or folders; - is standard input")
			}
			return nil
		},
	}
	file := configFlag(c)
	o.declare(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		files := []string{*file}
		if o.against != "" {
			files = append(files, o.against)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second one ends it at once
		return o.run(ctx, all, files, args, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// run takes the messages past the chains of the configurations.
func (o *replayOptions) run(ctx context.Context, all natives, files, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	g, err := o.given()
	if err != nil {
		return err
	}
	masks, err := o.compileMasks()
	if err != nil {
		return err
	}
	configs, account, err := o.load(all, files)
	if err != nil {
		return err
	}
	letters, total := replay.Letters(paths, stdin), replay.Total(paths)
	if err := o.makeOut(account); err != nil {
		return err
	}
	if account != nil {
		if letters, err = readAsRoot(ctx, paths, stdin, stderr); err != nil {
			return err
		}
		if err := account.become(); err != nil {
			return err
		}
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))) // that of native children
	crews := make([][]*replay.Player, o.parallel)
	for _, c := range configs {
		server, probes, err := o.harmless(all).build(c, discard())
		if err != nil {
			return err
		}
		defer closeChildren(server)
		tellSilent(ctx, c, probes, stderr)
		for i := range crews {
			p, err := replay.NewPlayer(server, g, replay.Strip{AsReceived: o.asReceived, Fields: o.strip})
			if err != nil {
				return err
			}
			crews[i] = append(crews[i], p)
		}
	}
	out := newReplayReport(o, files, configs[0], masks, stdout, stderr, total)
	err = replay.Run(ctx, letters, crews, out.turn)
	return out.end(err)
}

// load reads the configurations, and returns whom to become.
func (o *replayOptions) load(all natives, files []string) ([]*config.Config, *account, error) {
	var configs []*config.Config
	left := slices.Clone(o.without)
	for _, file := range files {
		c, err := all.load(file)
		if err != nil {
			return nil, nil, all.alsoChildren(c, err)
		}
		for i := range c.Milters {
			if m := &c.Milters[i]; slices.Contains(o.without, m.Name.V) {
				m.Enabled.V = false
				left = slices.DeleteFunc(left, func(name string) bool { return name == m.Name.V })
			}
		}
		configs = append(configs, c)
	}
	if len(left) > 0 {
		return nil, nil, usage("--without %s: there is no milter of that name", left[0])
	}
	account, faults := runsAs(configs[0])
	if len(faults) > 0 {
		return nil, nil, faults
	}
	return configs, account, nil
}

// harmless returns the native children without those effects that last.
func (o *replayOptions) harmless(all natives) natives {
	if o.remember {
		return all
	}
	all = maps.Clone(all)
	if g, ok := all["greylist"]; ok {
		inner := g.make
		g.make = func(options any) (milterkit.Child, error) {
			o, ok := options.(greylist.Options)
			if !ok { // one of somebody's own under this name
				return inner(options)
			}
			store, err := greylist.NewReadOnly(o)
			if err != nil {
				return nil, OptionErrorf("redis", "%w", err)
			}
			o.Store = store
			return inner(o)
		}
		all["greylist"] = g
	}
	return all
}

// tellSilent names the milters that do not answer: what they would have said nobody
// knows. Asking has them say also which macros they would like to have.
func tellSilent(ctx context.Context, c *config.Config, probes []probe, stderr io.Writer) {
	for i, err := range askAll(ctx, probes) {
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(stderr, "%s: the milter %s does not answer, and its default_action will decide: %v\n", c.File, probes[i].name, err)
		}
	}
}

// makeOut makes the folder for the messages, and gives it to whom this process becomes.
func (o *replayOptions) makeOut(a *account) error {
	if o.out == "" {
		return nil
	}
	entries, err := os.ReadDir(o.out)
	switch {
	case err == nil && len(entries) > 0:
		return usage("--out %s: this folder is not empty", o.out)
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return usage("--out: %w", err)
	}
	if err = os.Mkdir(o.out, 0o700); err == nil && a != nil {
		err = os.Chown(o.out, a.uid, a.gid)
	}
	if err != nil {
		return usage("--out: %w", err)
	}
	return nil
}
