package journal

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// The keys by which a record is found begin with a letter for their kind:
//
//	s1700000000000          session
//	q4F3A21C0B2             queue id
//	mid@example.org         Message-ID
//	aexample.org@alice      sender or recipient, so that those of a domain stand together
//	i<32 hex digits>        client's address, so that those of a network do
//	norg.example.mx.        client's name, so that those below a domain do
const maxKey = 200 // bytes; a longer one is cut

// keysOf returns the keys of a record.
func keysOf(m *record.Message) []string {
	keys := []string{"s" + strconv.FormatUint(m.Session, 10)}
	add := func(kind, text string) {
		if text != "" {
			keys = append(keys, cut(kind+text))
		}
	}
	add("q", m.QueueID)
	add("m", m.ID)
	if m.Sender != nil {
		keys = append(keys, addressKey(*m.Sender))
	}
	for _, to := range m.To {
		keys = append(keys, addressKey(to))
	}
	for i := range m.Steps { // recipients that were refused too
		if to := m.Steps[i].To; to != "" {
			keys = append(keys, addressKey(to))
		}
	}
	if a, err := netip.ParseAddr(m.Addr); err == nil {
		keys = append(keys, clientKey(a))
	}
	if m.Client != "" {
		keys = append(keys, nameKey(m.Client))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func cut(key string) string { return key[:min(len(key), maxKey)] }

// addressKey is that of a mail address; that of the null sender is a<>.
func addressKey(address string) string {
	if address == "" {
		return "a<>"
	}
	address = strings.ToLower(address)
	local, domain := address, ""
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		local, domain = address[:i], address[i+1:]
	}
	return cut("a" + domain + "@" + local)
}

func clientKey(a netip.Addr) string {
	sixteen := a.As16()
	return "i" + hex.EncodeToString(sixteen[:])
}

// nameKey is that of a host.
func nameKey(name string) string {
	labels := strings.Split(strings.ToLower(strings.Trim(name, ".")), ".")
	slices.Reverse(labels)
	return cut("n" + strings.Join(labels, ".") + ".")
}

// A span is the keys from one up to another, without that, or the one key.
type span struct{ from, to string }

func one(key string) span { return span{from: key} }

// startingWith is the span of all keys that start like that.
func startingWith(key string) span {
	last := len(key) - 1
	return span{key, key[:last] + string(key[last]+1)}
}

// spansOf returns where what somebody looks for can be, and says in words what it is
// taken for.
func spansOf(text string) (spans []span, what string) {
	text = strings.TrimSpace(text)
	if text == "<>" {
		return []span{one(addressKey(""))}, "the null sender"
	}
	if name, addr, ok := strings.Cut(strings.TrimSuffix(text, "]"), "["); ok && !strings.ContainsAny(name, "@<") {
		text = addr // name[192.0.2.1], as it stands in logs
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	if a, err := netip.ParseAddr(strings.TrimPrefix(text, "IPv6:")); err == nil {
		return []span{one(clientKey(a))}, "the address of a client"
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return []span{network(p)}, "a network of clients"
	}
	switch {
	case strings.HasPrefix(bare, "@"):
		return []span{startingWith("a" + strings.ToLower(bare[1:]) + "@")}, "a domain of senders or recipients"
	case strings.Contains(bare, "@"):
		return []span{one(addressKey(bare)), one(cut("m" + bare))}, "a sender, a recipient or a Message-ID"
	case bare != "" && strings.Trim(bare, "0123456789") == "":
		return []span{one("s" + bare), one("q" + bare)}, "a session or a queue id"
	case strings.Contains(bare, "."):
		return []span{startingWith(nameKey(bare)), one(cut("m" + bare))}, "the name of a client, or of its domain"
	}
	return []span{one(cut("q" + bare)), startingWith(nameKey(bare)), one(cut("m" + bare))}, "a queue id, or the name of a client"
}

func network(p netip.Prefix) span {
	bits := p.Bits()
	first := p.Masked().Addr()
	if first.Is4() {
		bits += 96
	}
	last := first.As16()
	for i := bits; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	return span{clientKey(first), clientKey(netip.AddrFrom16(last)) + "\x00"}
}
