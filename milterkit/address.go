package milterkit

import "strings"

// An Address is an envelope address with its ESMTP parameters.
type Address struct {
	Addr string   // without angle brackets; "" is the null sender
	Args []string // such as "SIZE=1024"
	Raw  string   // the address as it came: "<bob@example.org>", or without brackets
}

// NewAddress returns the address that raw stands for, with its parameters.
// raw may have angle brackets or not: Postfix leaves them out for mail that
// did not come by SMTP.
func NewAddress(raw string, args ...string) Address {
	addr := raw
	if len(raw) >= 2 && raw[0] == '<' && raw[len(raw)-1] == '>' {
		addr = raw[1 : len(raw)-1]
	}
	return Address{Addr: addr, Args: args, Raw: raw}
}

// String returns the address in angle brackets.
func (a Address) String() string { return "<" + a.Addr + ">" }

// Local returns what stands before the last @, all of it where there is none.
func (a Address) Local() string {
	if at := strings.LastIndexByte(a.Addr, '@'); at >= 0 {
		return a.Addr[:at]
	}
	return a.Addr
}

// Domain returns what stands after the last @, in small letters, or "".
func (a Address) Domain() string {
	if at := strings.LastIndexByte(a.Addr, '@'); at >= 0 {
		return strings.ToLower(a.Addr[at+1:])
	}
	return ""
}

// Arg returns the value of an ESMTP parameter, "1024" of "SIZE=1024", and
// whether it was given. Names are compared without regard to case.
func (a Address) Arg(name string) (value string, ok bool) {
	for _, arg := range a.Args {
		if key, value, _ := strings.Cut(arg, "="); strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}
