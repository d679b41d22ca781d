// Package test holds the end-to-end tests: mail is sent through a real
// Postfix and a real Sendmail with real milters, once with the mail server
// talking to each milter and once with milterkit between them, and what the
// client is told and what is delivered must be the same. All of it takes one to
// two minutes.
//
// Of what is compared, only the queue ids and the dates that the mail server
// itself writes are made equal beforehand; all else must be, byte by byte.
//
// Some milters record all that they are told, and their records must be the same
// too. What little is left out of that comparison stands in one place, at reading
// in record_test.go.
//
// The expectations are in Postfix's words. Where Sendmail makes something else
// of a milter's wishes, its own expectation stands beside Postfix's.
//
// The packages it needs are installed by install.sh; the tests must be run as
// root.
package test
