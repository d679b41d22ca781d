package replay

import (
	"cmp"
	"net/mail"
	"net/netip"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// A Fact is something of the session or the envelope, and where it is from: "given",
// "default", or the name of a header field.
type Fact struct {
	Name  string `json:"name"` // client, helo, from, to, auth, tls, queue id, mta
	Value string `json:"value"`
	From  string `json:"from"`
}

// Where facts are from that do not come from the header.
const (
	given   = "given"
	assumed = "default"
	mboxRow = "mbox"
)

// Given is what the caller knows of all messages. What is empty is taken from each
// message's header, or is the default.
type Given struct {
	Addr, Name, Helo, Auth, TLS, Daemon string
	From                                *string // without brackets
	FromArgs                            []string
	To                                  []miltertest.Recipient
	Known                               map[string]string // macros, by the name without braces
	Blind                               bool              // nothing is taken from the header
}

// What is not known otherwise. The addresses and names are for documentation. Source:
// RFC 5737, RFC 2606.
const (
	defaultAddr = "192.0.2.1"
	defaultName = "mx.example.net"
	defaultFrom = "sender@example.com"
	defaultTo   = "receiver@example.org"
	defaultMTA  = "mail.example.org"
	defaultID   = "4C0FFEE001"
)

// maxHeaderTo bounds the recipients that are taken from the field To.
const maxHeaderTo = 20

// A transfer is a message with all that a mail server knows of it.
type transfer struct {
	client miltertest.Client
	mail   miltertest.Mail
	facts  []Fact
}

func (t *transfer) fact(name, value, from string) {
	t.facts = append(t.facts, Fact{name, value, from})
}

// transferOf finds out who has sent a message to whom.
func (g *Given) transferOf(l *Letter, m *miltertest.Message) *transfer {
	t := &transfer{mail: miltertest.Mail{Message: m}, client: miltertest.Client{MTA: defaultMTA, Known: map[string]string{}}}
	var h hop
	at := -1
	if !g.Blind {
		h, at = hopOf(m)
	}
	g.session(t, h, at >= 0)
	g.sender(t, l, m)
	g.recipients(t, m, h)
	for name, value := range g.Known {
		t.client.Known[name] = value
	}
	return t
}

// session fills in the client.
func (g *Given) session(t *transfer, h hop, received bool) {
	c := &t.client
	source := assumed
	c.Addr, c.Host, c.Helo, t.mail.QueueID = defaultAddr, defaultName, defaultName, defaultID
	if received {
		source = "Received"
		c.Addr, c.Host, c.Helo = h.addr, h.name, h.helo
		c.MTA, t.mail.QueueID = cmp.Or(h.by, c.MTA), cmp.Or(h.id, t.mail.QueueID)
	}
	heloFrom := source
	if g.Addr != "" {
		source, c.Addr, c.Host = given, g.Addr, "unknown"
	}
	if g.Name != "" {
		source, c.Host = given, g.Name
	}
	if g.Helo != "" {
		heloFrom, c.Helo = given, g.Helo
	}
	c.Family = wire.FamilyInet
	if ip, err := netip.ParseAddr(c.Addr); err == nil && ip.Is6() {
		c.Family = wire.FamilyInet6
	}
	t.fact("client", c.Host+" ["+c.Addr+"]", source)
	t.fact("helo", c.Helo, heloFrom)
	if auth := cmp.Or(g.Auth, h.auth); auth != "" {
		c.Known["auth_type"], c.Known["auth_authen"] = "PLAIN", auth
		t.fact("auth", auth, cmp.Or(either(g.Auth), "Received"))
	}
	switch {
	case g.TLS != "":
		c.Known["tls_version"], c.Known["cipher"], c.Known["cipher_bits"] = g.TLS, "TLS_AES_256_GCM_SHA384", "256"
		t.fact("tls", g.TLS, given)
	case h.tls != "":
		c.Known["tls_version"], c.Known["cipher"], c.Known["cipher_bits"] = h.tls, h.cipher, h.bits
		t.fact("tls", h.tls, "Received")
	}
	if g.Daemon != "" {
		c.Known["daemon_name"] = g.Daemon
		t.fact("daemon", g.Daemon, given)
	}
}

// either returns "given" where there is a value.
func either(value string) string {
	if value != "" {
		return given
	}
	return ""
}

// sender fills in who the message is from.
func (g *Given) sender(t *transfer, l *Letter, m *miltertest.Message) {
	addr, from := defaultFrom, assumed
	switch {
	case g.From != nil:
		addr, from = *g.From, given
		t.mail.FromArgs = g.FromArgs
	case g.Blind:
	case has(m, "Return-Path"):
		addr, from = strings.Trim(m.Get("Return-Path"), "<> \t"), "Return-Path"
	case l.Sender != "":
		addr, from = l.Sender, mboxRow
		if local, _, _ := strings.Cut(addr, "@"); local == nobody {
			addr = ""
		}
	case len(addresses(m, "From")) > 0:
		addr, from = addresses(m, "From")[0], "From"
	}
	t.mail.From = "<" + fit(addr) + ">"
	t.fact("from", strings.Join(append([]string{t.mail.From}, t.mail.FromArgs...), " "), from)
}

// recipientFields are those of the header that name who a message was for, the one
// that is nearest to RCPT first.
var recipientFields = []string{"X-Original-To", "Envelope-To", "X-Envelope-To", "Delivered-To"}

// recipients fills in who the message is for.
func (g *Given) recipients(t *transfer, m *miltertest.Message, h hop) {
	if len(g.To) > 0 {
		t.mail.To = g.To
		t.fact("to", toText(g.To), given)
		return
	}
	list, from := []string{defaultTo}, assumed
	if found, name := headerRecipients(m, h); len(found) > 0 && !g.Blind {
		list, from = found, name
	}
	for _, addr := range list {
		t.mail.To = append(t.mail.To, miltertest.Recipient{Addr: "<" + fit(addr) + ">"})
	}
	t.fact("to", toText(t.mail.To), from)
}

func headerRecipients(m *miltertest.Message, h hop) (list []string, from string) {
	for _, name := range recipientFields {
		if list = addresses(m, name); len(list) > 0 {
			return list, name
		}
	}
	if h.rcpt != "" {
		return []string{h.rcpt}, "Received"
	}
	list = addresses(m, "To")
	return list[:min(len(list), maxHeaderTo)], "To"
}

// toText is a list of recipients as one reads it.
func toText(to []miltertest.Recipient) string {
	words := make([]string, len(to))
	for i, r := range to {
		words[i] = strings.Join(append([]string{r.Addr}, r.Args...), " ")
	}
	return strings.Join(words, ", ")
}

// has reports whether a message has a field of that name.
func has(m *miltertest.Message, name string) bool {
	return slices.ContainsFunc(m.Fields, func(f miltertest.Field) bool { return strings.EqualFold(f.Name, name) })
}

// addresses returns the addresses in the first field of that name; none where they
// cannot be read.
func addresses(m *miltertest.Message, name string) []string {
	value := strings.ReplaceAll(m.Get(name), "\n", " ")
	list, err := mail.ParseAddressList(value)
	if err != nil {
		bare := strings.Trim(value, "<> \t")
		if strings.ContainsAny(bare, " \t,<>\"") || !strings.Contains(bare, "@") {
			return nil
		}
		return []string{bare}
	}
	found := make([]string, len(list))
	for i, a := range list {
		found[i] = a.Address
	}
	return found
}

// maxWord bounds an address or a name. Source: RFC 5321 section 4.5.3.1 has less.
const maxWord = 1000

// fit returns an address, or a name, without what no mail server would have in one.
func fit(word string) string {
	out := make([]byte, 0, min(len(word), maxWord))
	for _, c := range []byte(word[:min(len(word), maxWord)]) {
		if c >= ' ' && c != 0x7f && c != '<' && c != '>' {
			out = append(out, c)
		}
	}
	return string(out)
}
