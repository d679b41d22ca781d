package imports

import (
	"path"
	"regexp"
	"strings"
)

// A Kind is the program whose settings a file has, by the name of its package.
type Kind string

// The kinds.
const (
	MilterManager Kind = "milter-manager"
	MainCF        Kind = "postfix"
	Greylist      Kind = "milter-greylist"
	PySPF         Kind = "pyspf-milter"
	OpenDKIM      Kind = "opendkim"
	OpenDMARC     Kind = "opendmarc"
	ClamAV        Kind = "clamav-milter"
	SpamAss       Kind = "spamass-milter"
)

// Kinds are all of them; the daemons in the order in which mail passes them where
// nothing says otherwise.
var Kinds = []Kind{MilterManager, MainCF, Greylist, PySPF, OpenDKIM, OpenDMARC, ClamAV, SpamAss}

// known are what a file is known by: its name, else the first of the contents that
// fits.
var known = []struct {
	kind          Kind
	name, content *regexp.Regexp
}{
	{MilterManager, regexp.MustCompile(`^milter-manager`), regexp.MustCompile(`(?m)^\s*(define_milter\s*\(|define_milter "|package\.platform\s*=|manager\.\w+\s*=)`)},
	{MainCF, regexp.MustCompile(`^main\.cf`), regexp.MustCompile(`(?m)^\s*(non_)?smtpd_milters\s*=`)},
	{Greylist, regexp.MustCompile(`^greylist2?\.conf`), regexp.MustCompile(`(?m)^\s*(racl|dacl|acl|subnetmatch|dumpfile|autowhite)\s`)},
	{PySPF, regexp.MustCompile(`^(policyd-spf|pyspf-milter)`), regexp.MustCompile(`(?m)^\s*(HELO_reject|Mail_From_reject|skip_addresses)\s*=`)},
	{ClamAV, regexp.MustCompile(`^clamav-milter`), regexp.MustCompile(`(?m)^\s*(MilterSocket|ClamdSocket|OnInfected)\s`)},
	{OpenDMARC, regexp.MustCompile(`^opendmarc`), regexp.MustCompile(`(?m)^\s*(RejectFailures|TrustedAuthservIDs|PublicSuffixList)\s`)},
	{OpenDKIM, regexp.MustCompile(`^opendkim`), regexp.MustCompile(`(?mi)^\s*(SigningTable|KeyTable|OversignHeaders|KeyFile|Canonicalization|InternalHosts)\s`)},
	{SpamAss, regexp.MustCompile(`^spamass[-_]milter`), regexp.MustCompile(`(?m)^\s*(\S*spamass-milter\s+-|-[a-zA-Z]|(OPTIONS|EXTRA_FLAGS|spamass_milter_flags)=)`)},
}

// KindOf tells what kind of file it is, by its name or else by what stands in it;
// "" where neither says so.
func KindOf(name, text string) Kind {
	base := path.Base(name)
	for _, k := range known {
		if k.name.MatchString(base) {
			return k.kind
		}
	}
	for _, k := range known {
		if k.content.MatchString(text[:min(len(text), MaxSize)]) {
			return k.kind
		}
	}
	return ""
}

// kindOfName is the kind of a milter that is called so, as milter-manager calls
// those that it has found; "" for others.
func kindOfName(name string) Kind {
	for _, k := range Kinds[2:] {
		if strings.EqualFold(name, string(k)) {
			return k
		}
	}
	return ""
}

// rank is the place of a kind in the order of Kinds.
func rank(k Kind) int {
	for i, other := range Kinds {
		if k == other {
			return i
		}
	}
	return len(Kinds)
}
