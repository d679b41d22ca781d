package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// sendOptions are the flags of send.
type sendOptions struct {
	host, addr, family, helo, mta string // who connects to whom
	from                          string
	rcpts, refused, unknown       []string
	auth, queueID                 string
	macros                        []string

	subject, size   string // of the message
	headers, attach []string
	date            string

	version        uint32 // of the protocol
	actions, steps string
	sendmail       bool
	timeout        time.Duration

	repeat  int
	abortAt string

	json, verbose bool
	color         string
}

func (o *sendOptions) declare(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.host, "connect-host", "mx.example.net", "`NAME` of the client; unknown: it has none")
	f.StringVar(&o.addr, "connect-addr", "192.0.2.1:50443", "`ADDRESS[:PORT]` of the client, or a path")
	f.StringVar(&o.family, "family", "", "address `FAMILY`: inet, inet6, unix, unknown (default: what the address is)")
	f.StringVar(&o.helo, "helo", "mx.example.net", "`NAME` given with HELO; empty: none")
	f.StringVar(&o.from, "mail-from", "<sender@example.com>", "`SENDER`, and ESMTP parameters after it")
	f.StringArrayVar(&o.rcpts, "rcpt", []string{"<receiver@example.org>"}, "`RECIPIENT`, and ESMTP parameters after it; may be repeated")
	f.StringArrayVar(&o.refused, "refused-rcpt", nil, "`RECIPIENT` that the mail server itself refuses; may be repeated")
	f.StringArrayVar(&o.unknown, "unknown", nil, "command `LINE` that the mail server does not know; may be repeated")
	f.StringVar(&o.auth, "auth", "", "`USER` that the client has authenticated as")
	f.StringVar(&o.queueID, "queue-id", "4C0FFEE001", "`ID` of the message")
	f.StringVar(&o.mta, "mta", "mail.example.org", "`NAME` of the mail server, the macro j")
	f.StringArrayVar(&o.macros, "macro", nil, "macro to send with a stage, as `STAGE:NAME=VALUE`; may be repeated")

	f.StringVar(&o.subject, "subject", "", "`TEXT` of the subject")
	f.StringArrayVar(&o.headers, "header", nil, "`FIELD` to add to the header, as \"Name: value\"; may be repeated")
	f.StringVar(&o.size, "size", "", "`BYTES` that the body of a made-up message has, such as 10M")
	f.StringArrayVar(&o.attach, "attachment", nil, "`FILE` to attach to a made-up message; may be repeated")

	f.StringVar(&o.date, "date", "", "`TIME` of sending, as 2006-01-02T15:04:05Z (default: now)")

	f.Uint32Var(&o.version, "version", wire.MaxVersion, "protocol `VERSION`, 2 to 6")
	f.StringVar(&o.actions, "actions", "", "`NAMES` of the actions offered, by commas; all, none, and -NAME to leave one out (default: all)")
	f.StringVar(&o.steps, "steps", "", "`NAMES` of the steps offered, in the same way")
	f.BoolVar(&o.sendmail, "sendmail", false, "behave as Sendmail does, not as Postfix")
	f.DurationVar(&o.timeout, "timeout", 0, "`TIME` to wait for each answer (default: as Postfix, 30s, and 5m for content)")

	f.IntVar(&o.repeat, "repeat", 1, "`NUMBER` of times that the message is sent in the session")
	f.StringVar(&o.abortAt, "abort-at", "", "`STAGE` instead of which the client breaks off")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print each field of the header and each piece of the body")
	f.StringVar(&o.color, "color", "auto", "`WHEN` to print in colour: auto, always, never")
}

// client returns who connects.
func (o *sendOptions) client() (miltertest.Client, error) {
	c := miltertest.Client{Host: o.host, Helo: o.helo, MTA: o.mta, Known: map[string]string{}, Macros: map[byte][]miltertest.Macro{}}
	var err error
	if c.Family, c.Addr, c.Port, err = parseClientAddr(o.addr, o.family); err != nil {
		return c, err
	}
	if o.auth != "" {
		c.Known["auth_type"], c.Known["auth_authen"] = "PLAIN", o.auth
	}
	for _, m := range o.macros {
		stage, rest, ok := strings.Cut(m, ":")
		name, value, ok2 := strings.Cut(rest, "=")
		cmd := miltertest.Command(stage)
		if !ok || !ok2 || name == "" || cmd == 0 {
			return c, usage("--macro %q: write STAGE:NAME=VALUE, such as mail:{auth_authen}=alice", m)
		}
		if len(name) > 1 && name[0] != '{' {
			name = "{" + name + "}" // as every MTA spells it
		}
		c.Macros[cmd] = append(c.Macros[cmd], miltertest.Macro{Name: name, Value: value})
	}
	return c, nil
}

// parseClientAddr reads an address with or without a port, or a path.
func parseClientAddr(addr, family string) (wire.Family, string, uint16, error) {
	if family == "unknown" {
		return wire.FamilyUnknown, "", 0, nil
	}
	if family == "unix" || family == "" && strings.HasPrefix(addr, "/") {
		return wire.FamilyUnix, addr, 0, nil
	}
	port := uint16(0)
	host := addr
	if h, p, err := net.SplitHostPort(addr); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return 0, "", 0, usage("--connect-addr %s: %q is not a port", addr, p)
		}
		host, port = h, uint16(n)
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	is := wire.FamilyInet
	if ip.Is6() {
		is = wire.FamilyInet6
	}
	switch {
	case err != nil:
		return 0, "", 0, usage("--connect-addr %s: not an IP address; a path begins with /", addr)
	case family == "" || family == "inet" && is == wire.FamilyInet || family == "inet6" && is == wire.FamilyInet6:
		return is, host, port, nil
	case family == "inet" || family == "inet6":
		return 0, "", 0, usage("--family %s: %s is an address of the other family", family, host)
	}
	return 0, "", 0, usage("--family %s: write inet, inet6, unix or unknown", family)
}

// offer returns what the milter is offered.
func (o *sendOptions) offer() (miltertest.Offer, error) {
	if o.version < wire.MinVersion || o.version > wire.MaxVersion {
		return miltertest.Offer{}, usage("--version %d: there are %d to %d", o.version, wire.MinVersion, wire.MaxVersion)
	}
	if o.repeat < 1 {
		return miltertest.Offer{}, usage("--repeat %d: at least once", o.repeat)
	}
	offer := miltertest.VersionOffer(o.version)
	offer.Sendmail, offer.Timeout = o.sendmail, o.timeout
	actions, err := parseMask(o.actions, actionNames, uint32(offer.Actions), uint32(wire.AllActions))
	if err != nil {
		return offer, usage("--actions: %w", err)
	}
	steps, err := parseMask(o.steps, stepNames, uint32(offer.Steps), uint32(wire.AllSteps))
	if err != nil {
		return offer, usage("--steps: %w", err)
	}
	offer.Actions, offer.Steps = wire.Actions(actions), wire.Steps(steps)
	switch o.color {
	case "auto", "always", "never":
		return offer, nil
	}
	return offer, usage("--color %s: write auto, always or never", o.color)
}

// mail returns the message with its envelope.
func (o *sendOptions) mail(file string, stdin io.Reader, c miltertest.Client) (miltertest.Mail, error) {
	m := miltertest.Mail{QueueID: o.queueID, Unknown: o.unknown}
	m.From, m.FromArgs = splitAddress(o.from)
	for _, r := range o.rcpts {
		addr, args := splitAddress(r)
		m.To = append(m.To, miltertest.Recipient{Addr: addr, Args: args})
	}
	for _, r := range o.refused {
		addr, args := splitAddress(r)
		m.To = append(m.To, miltertest.Recipient{Addr: addr, Args: args, Refused: "550 5.1.1 " + addr + ": Recipient address rejected"})
	}
	if o.abortAt != "" {
		m.AbortAt = miltertest.Command(o.abortAt)
		if !isStage(m.AbortAt) {
			return m, usage("--abort-at %s: write mail, rcpt, data, header, eoh, body or eom", o.abortAt)
		}
	}
	date := time.Now()
	var err error
	if o.date != "" {
		if date, err = time.Parse(time.RFC3339, o.date); err != nil {
			return m, usage("--date %s: write it as 2006-01-02T15:04:05Z", o.date)
		}
	}
	if m.Message, err = o.message(file, stdin, m, date); err != nil {
		return m, err
	}
	m.Message.AddReceived(fmt.Sprintf(" from %s (%s [%s])\n\tby %s (milterkit send) with ESMTP id %s;\n\t%s",
		cmp.Or(c.Helo, c.Host), c.Host, c.Addr, o.mta, o.queueID, date.Format(time.RFC1123Z)))
	return m, nil
}

// nextQueueID returns the ID of message n of a session, counted from 0.
func (o *sendOptions) nextQueueID(n int) string { return o.queueID + "-" + strconv.Itoa(n+1) }

// splitAddress splits "<alice@example.org> SIZE=10". An address without
// brackets gets them, as every mail server sends it.
func splitAddress(s string) (addr string, args []string) {
	if i := strings.LastIndexByte(s, '>'); i >= 0 {
		return s[:i+1], strings.Fields(s[i+1:])
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		return "<>", nil
	}
	return "<" + words[0] + ">", words[1:]
}

// parseSize reads a number of bytes: 1000, 64K, 10M.
func parseSize(s string) (int, error) {
	digits := strings.TrimRight(strings.ToUpper(s), "IB")
	unit := 1
	switch {
	case strings.HasSuffix(digits, "K"):
		unit = 1 << 10
	case strings.HasSuffix(digits, "M"):
		unit = 1 << 20
	}
	n, err := strconv.Atoi(strings.TrimRight(digits, "KM"))
	if err != nil || n < 0 || n > (1<<30)/unit {
		return 0, errors.New("write a number of bytes up to 1024M, such as 64K")
	}
	return n * unit, nil
}
