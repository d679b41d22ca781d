package daemon

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/builtin/dkim"
	"github.com/milterkit/sdk/builtin/dns"
)

const dkimKeyLong = `Make a key for DKIM: write it to FILE, which only its owner can read, and print
the DNS record that publishes it, and what dkim-sign needs in milterkit.toml.

With --check nothing is written: the record of the key in FILE is printed, and
compared with the one that is published, and what is wrong is said. FILE may be
a key that another program has made, such as OpenDKIM's.

Exit status: 0 when it is done, or the record is right; 1 when it is not; 2 for
a wrong command line.`

const dkimKeyExample = `  milterkit dkim-key --domain example.org --selector mail2026 /etc/milterkit/dkim/example.org.pem
  milterkit dkim-key --domain example.org --selector ed2026 --type ed25519 /etc/milterkit/dkim/example.org.ed.pem
  milterkit dkim-key --check --domain example.org --selector mail2026 /etc/milterkit/dkim/example.org.pem`

// checkTime bounds the look-up of a record.
const checkTime = 10 * time.Second

// dkimKeyOptions are the flags of dkim-key, and its argument.
type dkimKeyOptions struct {
	domain, selector, kind, nameserver string
	check                              bool
	file                               string
}

func newDKIMKeyCommand() *cobra.Command {
	o := &dkimKeyOptions{}
	c := &cobra.Command{
		Use:     "dkim-key --domain DOMAIN --selector SELECTOR FILE",
		Short:   "Make a key for DKIM, or check a published one",
		Long:    dkimKeyLong,
		Example: dkimKeyExample,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.file = args[0]
			return o.run(c.Context(), c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVarP(&o.domain, "domain", "d", "", "`DOMAIN` whose mail is signed")
	f.StringVarP(&o.selector, "selector", "s", "", "`NAME` of the key: it is published at NAME._domainkey.DOMAIN")
	f.StringVar(&o.kind, "type", "rsa", "`KIND` of key: rsa (of 2048 bits) or ed25519")
	f.BoolVar(&o.check, "check", false, "compare the key with the published record")
	f.StringVar(&o.nameserver, "nameserver", "", "`ADDRESS:PORT` to ask, in place of the system's resolver")
	return c
}

func (o *dkimKeyOptions) run(ctx context.Context, out io.Writer) error {
	if err := dkim.CheckNames(o.domain, o.selector); err != nil {
		return usage("%w; give them with --domain and --selector", err)
	}
	if o.check {
		return o.compare(ctx, out)
	}
	if o.nameserver != "" {
		return usage("--nameserver goes with --check")
	}
	key, err := dkim.GenerateKey(o.kind)
	if err != nil {
		return usage("--type: %w", err)
	}
	switch err := dkim.WriteKey(o.file, key); {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already, and is left as it is; to see whether its key is published say --check", o.file)
	case err != nil:
		return err
	}
	return o.explain(out, key)
}

// explain says what is to be done with a key.
func (o *dkimKeyOptions) explain(out io.Writer, key crypto.Signer) error {
	record, err := dkim.Record(key.Public())
	if err != nil {
		return err
	}
	file := o.file
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	owner := ""
	if os.Geteuid() == 0 {
		owner = "\nmilterkit must be able to read it: chown it to the user that it runs as.\n"
	}
	_, err = fmt.Fprintf(out, `The key is in %s.
%s
Publish it, in the zone of %s:

%s

When that can be seen (say the same with --check), let dkim-sign use it, in milterkit.toml:

[[milter.options.key]]
domain   = %q
selector = %q
file     = %q
`, file, owner, o.domain, dkim.ZoneRecord(o.domain, o.selector, record), o.domain, o.selector, file)
	return err
}

// compare says whether the record that is published has the key.
func (o *dkimKeyOptions) compare(ctx context.Context, out io.Writer) error {
	var server netip.AddrPort
	if o.nameserver != "" {
		var err error
		if server, err = netip.ParseAddrPort(o.nameserver); err != nil {
			return usage("--nameserver: %w; write one such as 127.0.0.1:53", err)
		}
	}
	key, err := dkim.ReadKey(o.file)
	if err != nil {
		return err
	}
	record, err := dkim.Record(key.Public())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The record of the key in %s:\n\n%s\n\n", o.file, dkim.ZoneRecord(o.domain, o.selector, record))
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	notes, err := dkim.CheckRecord(ctx, dns.Shared(server), o.domain, o.selector, key.Public())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "It is published at %s._domainkey.%s.\n", o.selector, o.domain)
	if len(notes) > 0 {
		fmt.Fprintf(out, "%s\n", strings.Join(notes, "\n"))
	}
	return nil
}
