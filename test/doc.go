// Package test holds the end-to-end tests: mail is sent through a real
// Postfix with real milters, once with Postfix talking to each milter and once
// with milterkit between them, and what the client is told and what is
// delivered must be the same. All of it takes less than a minute.
//
// Of what is compared, only the queue ids and the date in Postfix's own
// Received are made equal beforehand; all else must be, byte by byte.
//
// The packages it needs are installed by install.sh; the tests must be run as
// root.
package test
