// Package stack starts and stops real mail servers and filters for tests:
// Postfix, Sendmail, clamd, clamav-milter, spamd, spamass-milter, OpenDKIM, rspamd,
// pyspf-milter, dkimpy-milter, OpenDMARC, unbound and milterkit itself.
//
// All daemons of a test run live below one [Root], a temporary folder, and
// listen on loopback or on unix sockets there. Nothing of the machine's own
// configuration is used or changed, and no name server is asked but the one that
// belongs to the stack. All but Postfix run as the user nobody; Postfix needs
// root, and with it the tests.
//
// A daemon is a [Component]: fill in its struct, then call Start, which
// returns when it answers. An error shows the end of the daemon's log. A
// program that is not installed is an error that says what installs it,
// never a reason to skip a test.
//
//	root, err := stack.NewRoot()
//	clamd := &stack.Clamd{Root: root}
//	filter := &stack.ClamavMilter{Root: root, Clamd: clamd}
//	postfix := &stack.Postfix{Root: root, Listeners: []stack.Listener{
//		{Name: "clamav", Milters: []string{filter.Socket()}},
//	}}
//	err = stack.Start(clamd, filter, postfix)
//
// In reading order: root.go (the folder), process.go (starting and stopping),
// clamav.go, spamassassin.go, opendkim.go, unbound.go (a name server), rspamd.go,
// pyspf.go, dkimpy.go, opendmarc.go, python.go, milterkit.go (the filters),
// postfix.go and postfixconfig.go (a mail server), postdrop.go (mail that does
// not come by SMTP), certificate.go (for TLS), queue.go (what became of a
// message), sendmail.go, sendmailconfig.go and sendmailqueue.go (the other mail
// server), sink.go (where its mail goes), syslog.go (its log).
package stack
