package when

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit"
)

// told is the stage at which MTAs tell a macro, by its name without braces.
// Sources: Postfix's mail_params.h and MILTER_README, Sendmail's cf/README.
var told = map[string]milterkit.Stage{
	"j": milterkit.StageConnect, "_": milterkit.StageConnect, "v": milterkit.StageConnect,
	"daemon_name": milterkit.StageConnect, "daemon_addr": milterkit.StageConnect, "daemon_port": milterkit.StageConnect,
	"if_name": milterkit.StageConnect, "if_addr": milterkit.StageConnect,
	"client_addr": milterkit.StageConnect, "client_name": milterkit.StageConnect, "client_port": milterkit.StageConnect,
	"client_ptr": milterkit.StageConnect, "client_connections": milterkit.StageConnect, "client_resolve": milterkit.StageConnect,

	// STARTTLS leads to another HELO, at which conditions are settled anew.
	"tls_version": milterkit.StageHelo, "cipher": milterkit.StageHelo, "cipher_bits": milterkit.StageHelo,
	"cert_subject": milterkit.StageHelo, "cert_issuer": milterkit.StageHelo, "tls_sni": milterkit.StageHelo,

	"auth_type": milterkit.StageMail, "auth_authen": milterkit.StageMail, "auth_ssf": milterkit.StageMail, "auth_author": milterkit.StageMail,
	"mail_addr": milterkit.StageMail, "mail_host": milterkit.StageMail, "mail_mailer": milterkit.StageMail,

	"rcpt_addr": milterkit.StageRcpt, "rcpt_host": milterkit.StageRcpt, "rcpt_mailer": milterkit.StageRcpt,
}

// tooLate are the macros that come, or change, after the last stage at which a
// condition can be settled, and why they do.
var tooLate = map[string]string{
	"i":      "behind Postfix a message has a queue ID only when its first recipient is taken",
	"msg_id": "MTAs tell it at the end of the message only",
}

// anyTime are the stages at which a macro that MTAs do not tell by themselves is
// asked for. It may have a value at each, and the last one that it had counts, so
// a condition that names it is settled at the last of them.
var anyTime = []milterkit.Stage{milterkit.StageConnect, milterkit.StageHelo, milterkit.StageMail, milterkit.StageRcpt}

// tell notes that the condition needs a macro: when it is known, and that the
// MTA is to be asked for it. It returns what is wrong with the name.
func (c *compiler) tell(name string) (problem string) {
	bare := name
	if len(name) > 2 && name[0] == '{' && name[len(name)-1] == '}' {
		bare = name[1 : len(name)-1]
	}
	// The list of macros on the wire has blanks and commas between the names.
	if bare == "" || len(bare) > 64 || strings.ContainsFunc(bare, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(",{}", r) }) {
		return fmt.Sprintf("%q is not a name; write it as the MTA does, with or without braces", name)
	}
	if why := tooLate[bare]; why != "" {
		return fmt.Sprintf("%q comes too late: %s, and a condition is settled at RCPT at the latest", name, why)
	}
	stages := anyTime
	if at, ok := told[bare]; ok {
		stages = []milterkit.Stage{at}
	}
	c.at = max(c.at, stages[len(stages)-1])
	for _, at := range stages {
		c.ask(at, bare)
	}
	return ""
}

// ask notes that the MTA is to be asked for a macro at a stage.
func (c *compiler) ask(at milterkit.Stage, bare string) {
	name := bare
	if len(bare) > 1 {
		name = "{" + bare + "}"
	}
	if c.macros == nil {
		c.macros = map[milterkit.Stage][]string{}
	}
	if !slices.Contains(c.macros[at], name) {
		c.macros[at] = append(c.macros[at], name)
	}
}

// Strange returns the macros that a condition names and that no MTA is known to
// tell by itself: an administrator has defined them, or they are misspelt.
func Strange(c milterkit.Condition) []string {
	var strange []string
	for _, name := range c.Macros[anyTime[len(anyTime)-1]] {
		if bare := strings.Trim(name, "{}"); told[bare] == 0 {
			strange = append(strange, bare)
		}
	}
	return strange
}

// Told returns the stage at which MTAs tell a macro by themselves; false where none
// is known to. The name has no braces.
func Told(name string) (milterkit.Stage, bool) {
	at, ok := told[name]
	return at, ok
}
