package milterkit

import (
	"strings"
	"time"

	"github.com/milterkit/sdk/internal/overlay"
	"github.com/milterkit/sdk/milterkit/wire"
)

// What Postfix and Sendmail do in a manner of their own. Whatever heeds one of
// these manners asks here, so that each stands in one place, with its source.

// An mta is the kind of mail server that asks.
type mta uint8

const (
	unknownMTA mta = iota
	postfix
	sendmail
)

// mtaOf tells the kind by the macro v: Sendmail's begins with a digit, Postfix's
// with its name. No other sign is on the wire.
func mtaOf(v string) mta {
	switch {
	case strings.HasPrefix(v, "Postfix"):
		return postfix
	case v != "" && v[0] >= '0' && v[0] <= '9':
		return sendmail
	}
	return unknownMTA
}

// mta returns the kind of mail server that asks, as far as it is known.
func (w *Walk) mta() mta { return w.kind }

// stageTimeout bounds all children together at a stage before the content:
// Postfix waits 30 s for an answer there, Sendmail 10 s (its timeout R), and the
// end of a message before may take a second of it.
// Sources: milter_command_timeout in Postfix's postconf(5); sendmail/milter.c.
func (m mta) stageTimeout(set time.Duration) time.Duration {
	if m == sendmail {
		return min(set, 8*time.Second)
	}
	return set
}

// messageTimeout bounds all children together on the content: Sendmail waits
// five minutes in all at the end of a message, however often it is told of
// progress (its timeout E). Postfix starts anew at each word from us.
// Source: milter_content_timeout in postconf(5); sendmail/milter.c.
func (m mta) messageTimeout(set time.Duration) time.Duration {
	if m == sendmail {
		return min(set, 4*time.Minute+50*time.Second)
	}
	return set
}

// takesProgress reports whether the MTA can be told at a stage that work goes
// on. Postfix takes that anywhere; Sendmail only at the end of a message, and
// has done with the filter that says it elsewhere.
// Sources: Postfix, milter8_event; sendmail/milter.c, milter_send_command.
func (m mta) takesProgress(at Stage) bool {
	return m == postfix || at >= StageHeader && at <= StageMessage
}

// feedsPatiently reports whether the MTA waits while a filter that owes no
// answer is slow to read the content. Sendmail has done with one that does not
// read for 10 s (its timeout S), and nothing can be said to it meanwhile.
// Source: sendmail/milter.c, milter_write.
func (m mta) feedsPatiently() bool { return m != sendmail }

// header returns a header that is edited as the MTA would edit it: the last
// message's, if it is of that kind.
func (m mta) header(last editedHeader) editedHeader {
	switch _, ok := last.(*overlay.SendmailHeader); {
	case m == sendmail && !ok:
		return new(overlay.SendmailHeader)
	case m != sendmail && ok:
		return overlay.New(nil)
	}
	return last
}

// folds reports whether the MTA makes continuation lines of all lines of a value
// but the first, and shows filters the value as it was asked for. Postfix would
// write them with a tab. Source: sendmail/headers.c, put_vanilla_header.
func (m mta) folds() bool { return m == sendmail }

// countsDeleted reports whether a field that a filter has deleted goes on to count
// for it. Source: sendmail/milter.c, milter_changeheader.
func (m mta) countsDeleted() bool { return m == sendmail }

// asFormat returns the text of a reply as MTAs are to be given it: Sendmail
// takes it for a format string, and Postfix follows it in that.
// Sources: sendmail/milter.c, MILTER_CHECK_REPLYCODE; Postfix, milter8_event.
func asFormat(reply string) string { return strings.ReplaceAll(reply, "%", "%%") }

// eatsSpace reports whether the MTA has left out the space after the colon of a
// header field, where it has not agreed to leave it in. It eats one blank, so a
// value that begins with a tab or a fold never had one.
// Sources: Postfix, milter8_header; sendmail/milter.c, milter_headers.
func eatsSpace(agreed wire.Steps, value []byte) bool {
	return agreed&wire.LeadingSpace == 0 && len(value) > 0 && value[0] != '\t' && value[0] != '\n'
}

// mailerError is the value of {rcpt_mailer} by which a recipient is known that
// the MTA itself has refused. Source: SMFIP_RCPT_REJ, libmilter's xxfi_envrcpt.
const mailerError = "error"

// maxMacroNames is how many macros Sendmail takes for a stage.
// Source: sendmail/conf.h, MAXFILTERMACROS.
const maxMacroNames = 50

// macroDefaults are the macros that Postfix and Sendmail send unasked, and what
// else Postfix knows. A list that a filter asks for replaces the MTA's own, in
// which an administrator may have put any of these, so it must hold all that any
// child may expect.
// Sources: Postfix's mail_params.h and MILTER_README, Sendmail's cf/README.
var macroDefaults = []wire.MacroList{
	{Stage: wire.StageConnect, Names: []string{"j", "_", "v", "{daemon_name}", "{daemon_addr}", "{daemon_port}",
		"{if_name}", "{if_addr}", "{client_addr}", "{client_name}", "{client_port}", "{client_ptr}",
		"{client_connections}", "{client_resolve}"}},
	{Stage: wire.StageHelo, Names: []string{"{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}", "{tls_sni}"}},
	{Stage: wire.StageMail, Names: []string{"i", "{auth_type}", "{auth_authen}", "{auth_ssf}", "{auth_author}",
		"{mail_addr}", "{mail_host}", "{mail_mailer}"}},
	{Stage: wire.StageRcpt, Names: []string{"i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"}},
	{Stage: wire.StageData, Names: []string{"i"}},
	// Sendmail uses the list of the end of message only where there is one of
	// the end of header too. Source: sendmail/milter.c, milter_data.
	{Stage: wire.StageEOH, Names: []string{"i"}},
	{Stage: wire.StageEOM, Names: []string{"i", "{msg_id}"}},
}
