package miltertest

import (
	"fmt"

	"github.com/milterkit/sdk/milterkit/wire"
)

// forgetEnvelope has the MTA know no more of the envelope than goes with content.
func (p *Player) forgetEnvelope() {
	if !p.MTA.offer.Sendmail {
		// Postfix's cleanup, which plays the content, was not told these.
		p.forget("mail_addr", "mail_host", "mail_mailer", "rcpt_addr", "rcpt_host", "rcpt_mailer", "client_connections",
			"tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer")
	}
}

// content plays the content of a message, which to a filter is one command for
// each field, then pieces of the body, as large as may be. A message without a
// body has none.
func (p *Player) content(mail Mail, o *Outcome) error {
	m := p.MTA
	p.forgetEnvelope()
	for _, f := range mail.Message.Shown() {
		err := p.tell(o, mail, wire.CmdHeader, f.Name+":"+f.Value, func() (Reply, error) {
			return m.Header(f.Name, f.Value)
		})
		if err != nil {
			return err
		}
	}
	if err := p.tell(o, mail, wire.CmdEOH, "", m.EOH); err != nil {
		return err
	}
	for body := mail.Message.Body; len(body) > 0; {
		piece := body[:min(len(body), wire.MaxBody)]
		body = body[len(piece):]
		err := p.tell(o, mail, wire.CmdBody, fmt.Sprintf("%d bytes", len(piece)), func() (Reply, error) {
			return m.Body(piece)
		})
		if err != nil {
			return err
		}
	}
	if id := mail.Message.Get("Message-ID"); id != "" {
		p.known["msg_id"] = id
	}
	err := p.tell(o, mail, wire.CmdEOM, "", func() (Reply, error) {
		edits, r, err := m.EOM()
		o.Edits = edits
		return r, err
	})
	if err == nil {
		o.At = wire.CmdEOM
	}
	return err
}
