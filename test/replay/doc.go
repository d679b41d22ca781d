// Package replay holds the tests that play recorded traffic again.
//
// What stands in testdata was recorded between real mail servers (Postfix 3.7,
// Sendmail 8.17) and real filters (OpenDKIM, OpenDMARC, clamav-milter,
// spamass-milter, rspamd, amavisd-milter, pyspf-milter): the .txt files are the
// packets of milter connections, taken apart; the .smtp files are what the mail
// servers told SMTP clients while a filter did this and that. They are kept as
// they were recorded.
//
// The tests put milterkit between the two ends: each recorded filter is played
// by a script that answers as the real one did, the mail server sends what the
// real one sent, and what every filter is shown, and what becomes of the
// message, must be what was recorded.
package replay
