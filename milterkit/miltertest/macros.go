package miltertest

import (
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// The macros that an MTA sends unasked, by the command they go with. HEADER and
// BODY go with the lists of the end of the header and of the message.
// Source: mail_params.h of Postfix; cf/README of Sendmail.
var (
	postfixMacros = map[byte][]string{
		wire.CmdConnect: {"j", "{daemon_name}", "{daemon_addr}", "v", "_"},
		wire.CmdHelo:    {"{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"},
		wire.CmdMail:    {"i", "{auth_type}", "{auth_authen}", "{auth_author}", "{mail_addr}", "{mail_host}", "{mail_mailer}"},
		wire.CmdRcpt:    {"i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"},
		wire.CmdData:    {"i"},
		wire.CmdEOH:     {"i"},
		wire.CmdEOM:     {"i"},
	}
	sendmailMacros = map[byte][]string{
		wire.CmdConnect: {"j", "_", "{daemon_name}", "{if_name}", "{if_addr}"},
		wire.CmdHelo:    {"{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}"},
		wire.CmdMail: {"i", "{auth_type}", "{auth_authen}", "{auth_ssf}", "{auth_author}",
			"{mail_mailer}", "{mail_host}", "{mail_addr}"},
		wire.CmdRcpt: {"{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"},
		wire.CmdEOM:  {"{msg_id}"},
	}
)

// A Macro is a macro and its value. The name stands as it is sent: "i",
// "{auth_authen}".
type Macro struct{ Name, Value string }

// bareName returns a macro's name without its braces.
func bareName(name string) string {
	if len(name) > 2 && name[0] == '{' && name[len(name)-1] == '}' {
		return name[1 : len(name)-1]
	}
	return name
}

// values are what an MTA knows, by the bare name of the macro.
type values map[string]string

// macrosFor returns names and values, in turn, of the macros that go with a
// command: those that the filter has asked for, else the MTA's own list, as far
// as they have a value, and after them those of more.
func (m *MTA) macrosFor(cmd byte, known values, more []Macro) []string {
	var pairs []string
	for _, name := range m.macroList(cmd) {
		if value := known[bareName(name)]; value != "" {
			pairs = append(pairs, name, value)
		}
	}
more:
	for _, x := range more {
		for i := 0; i < len(pairs); i += 2 {
			if bareName(pairs[i]) == bareName(x.Name) {
				pairs[i+1] = x.Value
				continue more
			}
		}
		pairs = append(pairs, x.Name, x.Value)
	}
	return pairs
}

// macroList returns the names of the macros that go with a command. A filter's
// list stands in place of the MTA's; an empty one is none, to Postfix.
// Source: MILTER_MACRO_EVAL in Postfix's milter.c.
func (m *MTA) macroList(cmd byte) []string {
	of := cmd
	switch cmd {
	case wire.CmdHeader:
		of = wire.CmdEOH
	case wire.CmdBody:
		of = wire.CmdEOM
	}
	stage, ok := wire.MacroStage(of)
	if !ok {
		return nil
	}
	var list []string
	given := false
	for _, l := range m.Negotiated.MacroLists {
		if l.Stage == stage {
			list, given = l.Names, true
		}
	}
	if m.offer.Sendmail {
		if given {
			return list
		}
		return sendmailMacros[of]
	}
	if len(list) > 0 {
		return list
	}
	return postfixMacros[of]
}

// announce sends the macros that go with a command where the MTA would. Postfix
// does it for every command, without any macros too, also for one that the
// filter does not want, but for the parts of the content; Sendmail only where
// there are some, and never for HEADER, BODY and UNKNOWN.
func (m *MTA) announce(cmd byte, known values, more []Macro) error {
	if !m.knows(cmd) {
		return nil
	}
	pairs := m.macrosFor(cmd, known, more)
	switch cmd {
	case wire.CmdHeader, wire.CmdBody:
		if m.offer.Sendmail || !m.Wants(cmd) {
			return nil
		}
	case wire.CmdUnknown:
		if m.offer.Sendmail {
			return nil
		}
	case wire.CmdEOH:
		if !m.offer.Sendmail && !m.Wants(cmd) {
			return nil
		}
	}
	if m.offer.Sendmail && len(pairs) == 0 {
		return nil
	}
	return m.Macros(cmd, pairs...)
}

// host returns the domain of an address.
func host(addr string) string {
	addr = unbracket(addr)
	return addr[strings.LastIndexByte(addr, '@')+1:]
}
