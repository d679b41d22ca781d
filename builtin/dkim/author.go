package dkim

import (
	"net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/milterkit/sdk/builtin/internal/domain"
	"github.com/milterkit/sdk/builtin/internal/fieldname"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/mime"
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

// An authorship is what From says of whose a message is.
type authorship struct {
	fields  int      // how many From fields there are
	domains []string // of the addresses, each once, as the DNS has them
	unclear string   // where these may not be all: what stands there, decoded and in small letters
}

func authorshipOf(m *milterkit.Message) (a authorship) {
	clear := true
	var text strings.Builder
	for _, f := range m.Header() {
		if !fieldname.Is(f, "From") {
			continue
		}
		a.fields++
		value := string(f.Value)
		if list, err := mail.ParseAddressList(value[:min(len(value), maxFrom)]); err != nil || len(list) == 0 || len(value) > maxFrom {
			clear = false
		}
		text.WriteString(plain(value) + "\n")
	}
	if !clear {
		a.unclear = text.String()
	}
	for _, addr := range authors(m) {
		a.domains = append(a.domains, asciiName(addr[strings.LastIndexByte(addr, '@')+1:]))
	}
	slices.Sort(a.domains)
	a.domains = slices.Compact(a.domains)
	return a
}

// asciiName returns a domain as the DNS has it, or as it is where that cannot be.
func asciiName(name string) string {
	if ascii, err := domain.ASCII(name); err == nil {
		return ascii
	}
	return strings.ToLower(name)
}

// plain returns a value in which names of domains stand as they are looked for,
// whatever they are dressed in.
func plain(value string) string {
	if strings.Contains(value, "=?") {
		value = mime.Decode([]byte(value))
	}
	return strings.ToLower(otherDots.Replace(comments.ReplaceAllString(squeeze(value), "")))
}

var (
	comments  = regexp.MustCompile(`\([^()]*\)`)
	otherDots = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".") // Source: RFC 3490 section 3.1
)
