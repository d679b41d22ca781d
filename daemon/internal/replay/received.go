package replay

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A hop is what a Received field tells of the client.
type hop struct {
	helo, name, addr   string
	by, id, auth, rcpt string
	tls, cipher, bits  string
}

var (
	// As Postfix, Sendmail and Exim write it: from HELO (NAME [ADDR]), from HELO
	// ([ADDR]), from NAME ([ADDR] helo=HELO), from [ADDR] (helo=HELO).
	hopFrom = regexp.MustCompile(`^from\s+(\S+)\s*(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?`)
	hopAddr = regexp.MustCompile(`\[(?:IPv6:)?([0-9A-Fa-f.:]+)\](?::[0-9]+)?`)
	hopHelo = regexp.MustCompile(`\bhelo=(\S+)`)
	hopBy   = regexp.MustCompile(`\sby\s+([A-Za-z0-9._-]+)`)
	hopID   = regexp.MustCompile(`\sid\s+([A-Za-z0-9._-]+)`)
	hopFor  = regexp.MustCompile(`\sfor\s+<([^<>\s]+)>`)
	hopAuth = regexp.MustCompile(`\(Authenticated sender: ([^()\s]+)\)`)
	hopTLS  = regexp.MustCompile(`\b(?:using |version=)(TLSv[0-9.]+)(?: with cipher |[ ,]+cipher=)(\S+)(?: \(| bits=)([0-9]+)`)
)

// parseHop reads a Received field's value. It is not ok where no client stands in it.
func parseHop(value string) (h hop, ok bool) {
	value = strings.TrimSpace(value)
	m := hopFrom.FindStringSubmatch(value)
	if m == nil {
		return h, false
	}
	h.helo = strings.Trim(m[1], ";")
	comment := m[2]
	at := hopAddr.FindStringSubmatch(comment)
	if at == nil {
		at = hopAddr.FindStringSubmatch(h.helo)
	}
	if at == nil {
		return h, false
	}
	ip, err := netip.ParseAddr(at[1])
	if err != nil {
		return h, false
	}
	h.addr = ip.Unmap().String()
	if said := hopHelo.FindStringSubmatch(comment); said != nil {
		h.name, h.helo = h.helo, said[1]
	}
	if before, _, found := strings.Cut(comment, "["); found {
		words := strings.Fields(before)
		if len(words) > 0 && !strings.Contains(words[0], "=") {
			h.name = strings.TrimSuffix(words[0][strings.LastIndexByte(words[0], '@')+1:], ".") // without an ident
		}
	}
	if h.name = fit(h.name); h.name == "" || strings.HasPrefix(h.name, "[") {
		h.name = "unknown"
	}
	h.helo = cmp.Or(fit(h.helo), h.name)
	group := func(r *regexp.Regexp) string {
		if m := r.FindStringSubmatch(value); m != nil {
			return m[1]
		}
		return ""
	}
	h.by, h.id, h.rcpt, h.auth = group(hopBy), group(hopID), group(hopFor), group(hopAuth)
	if m := hopTLS.FindStringSubmatch(value); m != nil {
		h.tls, h.cipher, h.bits = m[1], m[2], m[3]
	}
	return h, true
}

// hopOf returns the first Received field of a message that tells of a client: of the
// mail server that took it from outside. One of this machine itself, as content
// filters behind a queue leave it, counts where there is no other. at is where in the
// header it is; -1: there is none.
func hopOf(m *miltertest.Message) (found hop, at int) {
	at = -1
	for i, f := range m.Fields {
		if !strings.EqualFold(f.Name, "Received") {
			continue
		}
		h, ok := parseHop(f.Value)
		if !ok {
			continue
		}
		inside := netip.MustParseAddr(h.addr).IsLoopback()
		if at < 0 || !inside {
			found, at = h, i
		}
		if !inside {
			break
		}
	}
	return found, at
}
