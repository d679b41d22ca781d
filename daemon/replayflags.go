package daemon

import (
	"net/netip"
	"regexp"
	"runtime"
	"strings"

	"github.com/spf13/pflag"

	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// replayOptions are the flags of replay.
type replayOptions struct {
	against string

	client, name, helo, auth, tls, daemon string // who connects to whom
	from                                  string
	to, macros                            []string
	ignoreHeader                          bool

	asReceived bool
	strip      []string

	without  []string
	remember bool
	parallel int

	out           string
	masks         []string
	json, verbose bool
	color         string
}

func (o *replayOptions) declare(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.against, "against", "", "compare with a second configuration, `OTHER.toml`")
	f.StringVar(&o.from, "from", "", "`SENDER`, and ESMTP parameters after it; \"<>\" is the null sender")
	f.StringArrayVar(&o.to, "to", nil, "`RECIPIENT`, and ESMTP parameters after it; may be repeated")
	f.StringVar(&o.client, "client", "", "IP `ADDRESS` of the client")
	f.StringVar(&o.name, "name", "", "`NAME` of the client (with an address given: unknown)")
	f.StringVar(&o.helo, "helo", "", "`NAME` given with HELO")
	f.StringVar(&o.auth, "auth", "", "`USER` that the client has authenticated as")
	f.StringVar(&o.tls, "tls", "", "`VERSION` of TLS that the client speaks, such as TLSv1.3")
	f.StringVar(&o.daemon, "daemon", "", "`NAME` of the mail server's service, the macro {daemon_name}")
	f.StringArrayVar(&o.macros, "macro", nil, "macro that the mail server knows, as `NAME=VALUE`; may be repeated")
	f.BoolVar(&o.ignoreHeader, "ignore-header", false, "take nothing of the session and the envelope from the message")

	f.BoolVar(&o.asReceived, "as-received", false, "take off what was added on top when the message was received")
	f.StringSliceVar(&o.strip, "strip", nil, "take off fields with these `NAMES`, such as 'X-Spam-*,DKIM-Signature'")

	f.StringArrayVar(&o.without, "without", nil, "leave out the milter of that `NAME`; may be repeated")
	f.BoolVar(&o.remember, "remember", false, "let greylisting remember, as serve does")
	f.IntVar(&o.parallel, "parallel", min(4, runtime.NumCPU()), "`NUMBER` of messages at one time")

	f.StringVar(&o.out, "out", "", "write the messages, as they would be delivered, to the empty or new folder `DIR`")
	f.StringArrayVar(&o.masks, "mask", nil, "what matches that `REGEXP` in a header or a reply is no difference; may be repeated")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print of each message the trace and the diff, also of many")
	f.StringVar(&o.color, "color", "auto", "`WHEN` to print in colour: auto, always, never")
}

// given returns what is known of all messages.
func (o *replayOptions) given() (g replay.Given, err error) {
	g = replay.Given{Addr: o.client, Name: o.name, Helo: o.helo, Auth: o.auth, TLS: o.tls, Daemon: o.daemon,
		Blind: o.ignoreHeader, Known: map[string]string{}}
	if o.client != "" {
		ip, err := netip.ParseAddr(strings.Trim(o.client, "[]"))
		if err != nil {
			return g, usage("--client %s: not an IP address", o.client)
		}
		g.Addr = ip.WithZone("").String()
	}
	if o.from != "" {
		addr, args := splitAddress(o.from)
		bare := strings.Trim(addr, "<>")
		g.From, g.FromArgs = &bare, args
	}
	for _, to := range o.to {
		addr, args := splitAddress(to)
		g.To = append(g.To, miltertest.Recipient{Addr: addr, Args: args})
	}
	for _, m := range o.macros {
		name, value, ok := strings.Cut(m, "=")
		name = strings.Trim(name, "{}")
		if !ok || name == "" {
			return g, usage("--macro %q: write NAME=VALUE, such as {client_ptr}=mx.example.net", m)
		}
		g.Known[name] = value
	}
	return g, o.check()
}

// check says what is wrong with the flags.
func (o *replayOptions) check() error {
	switch {
	case o.parallel < 1 || o.parallel > 1000:
		return usage("--parallel %d: 1 to 1000 at one time", o.parallel)
	case o.remember && o.against != "":
		return usage("--remember does not go with --against: the second configuration would remember what the first was asked")
	case o.out != "" && o.against != "":
		return usage("--out does not go with --against: there would be two of each message")
	case o.color != "auto" && o.color != "always" && o.color != "never":
		return usage("--color %s: write auto, always or never", o.color)
	}
	return nil
}

// compileMasks returns what is no difference besides the usual.
func (o *replayOptions) compileMasks() (masks replay.Masks, err error) {
	for _, text := range o.masks {
		mask, err := regexp.Compile(text)
		if err != nil {
			return nil, usage("--mask %s: %w", text, err)
		}
		masks = append(masks, mask)
	}
	return masks, nil
}
