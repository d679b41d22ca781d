// Package test holds the end-to-end tests: mail is sent through a real
// Postfix with real milters, once with Postfix talking to each milter and once
// with milterkit between them, and what the client is told and what is
// delivered must be the same. All of it takes less than a minute.
//
// Of what is compared, only the queue ids and the date in Postfix's own
// Received are made equal beforehand; all else must be, byte by byte.
//
// The packages it needs are installed by install.sh; the tests must be run as
// root. With MILTERKIT_E2E_STANDIN=1 no milterkit is built, and Postfix's own
// chain of milters stands in for it: this tests the tests. With
// MILTERKIT_E2E_BINARY=PATH the milterkit of that path is tested, which the
// user nobody must be able to run.
package test
