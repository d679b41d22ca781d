package wire

import "encoding/binary"

// Connect is who the client is (SMFIC_CONNECT). Its slices are views.
type Connect struct {
	Host   []byte // the client's name; where it has none Postfix writes "[192.0.2.1]"
	Family Family // how Addr is written
	Port   uint16 // the client's port; 0: not known, or not TCP
	Addr   []byte // IPv4, IPv6 (Sendmail puts "IPv6:" before it), a path; empty for FamilyUnknown
}

// ParseConnect reads the payload of CmdConnect. Port and address are there for
// every family but FamilyUnknown, for FamilyUnix too. It fails where a part is
// missing, something follows, or the family is none of the four.
func ParseConnect(p []byte) (Connect, error) {
	var c Connect
	host, p, ok := cut(p)
	if !ok {
		return c, fault(CmdConnect, "no NUL after the host name")
	}
	if len(p) == 0 {
		return c, fault(CmdConnect, "no address family")
	}
	family, p := Family(p[0]), p[1:]
	switch family {
	case FamilyUnknown:
		if len(p) > 0 {
			return c, fault(CmdConnect, "an address of no family")
		}
		return Connect{Host: host, Family: family}, nil
	case FamilyUnix, FamilyInet, FamilyInet6:
	default:
		return c, fault(CmdConnect, "unknown address family "+quote(byte(family)))
	}
	if len(p) < 2 {
		return c, fault(CmdConnect, "no port")
	}
	addr, err := only(CmdConnect, p[2:], "the address")
	if err != nil {
		return c, err
	}
	return Connect{Host: host, Family: family, Port: binary.BigEndian.Uint16(p), Addr: addr}, nil
}

// Append appends the frame. A Family of 0 is FamilyUnknown, for which neither
// port nor address is written.
func (c Connect) Append(dst []byte) []byte {
	dst, at := begin(dst, CmdConnect)
	dst = appendBytes(dst, c.Host)
	if c.Family == 0 || c.Family == FamilyUnknown {
		return end(append(dst, byte(FamilyUnknown)), at)
	}
	dst = append(dst, byte(c.Family))
	dst = binary.BigEndian.AppendUint16(dst, c.Port)
	return end(appendBytes(dst, c.Addr), at)
}
