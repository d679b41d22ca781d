package dkim

import (
	"net/mail"
	"slices"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/fieldname"
	"github.com/milterkit/sdk/milterkit"
)

// authors returns the addresses in the From fields of a message, in order, their
// domains in small letters. What cannot be read as a list of addresses is searched for
// what stands in angle brackets.
func authors(m *milterkit.Message) []string {
	var list []string
	for _, f := range m.Header() {
		if !fieldname.Is(f, "From") {
			continue
		}
		for _, addr := range addresses(string(f.Value)) {
			if at := strings.LastIndexByte(addr, '@'); at >= 0 {
				addr = addr[:at] + strings.TrimSuffix(strings.ToLower(addr[at:]), ".")
			}
			list = append(list, addr)
		}
	}
	return list
}

// maxFrom bounds the From field that is read, in bytes.
const maxFrom = 64 << 10

func addresses(value string) []string {
	value = value[:min(len(value), maxFrom)]
	if list, err := mail.ParseAddressList(value); err == nil {
		addrs := make([]string, len(list))
		for i, a := range list {
			addrs[i] = a.Address
		}
		return addrs
	}
	var addrs []string
	for rest := value; ; {
		_, after, found := strings.Cut(rest, "<")
		addr, next, closed := strings.Cut(after, ">")
		if !found || !closed {
			break
		}
		if addr = squeeze(addr); strings.Contains(addr, "@") {
			addrs = append(addrs, addr)
		}
		rest = next
	}
	if bare := squeeze(value); addrs == nil && strings.Count(bare, "@") == 1 && !strings.ContainsAny(bare, "<>\"(),;:") {
		addrs = []string{bare}
	}
	return addrs
}

// authorDomains returns the domains of the authors, each once.
func authorDomains(m *milterkit.Message) []string {
	var domains []string
	for _, addr := range authors(m) {
		domain := addr[strings.LastIndexByte(addr, '@')+1:]
		if !slices.Contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	return domains
}
