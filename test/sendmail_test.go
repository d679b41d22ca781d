package test

import (
	"slices"
	"testing"

	"github.com/milterkit/sdk/test/stack"
)

// addSendmail adds Sendmail, with the chains that Postfix has too.
func (b *bench) addSendmail(real []stack.Child) {
	b.sendmail = &stack.Sendmail{Root: b.root}
	b.addChain(chain{"real", real}, sendmailRoutes...)
	b.addChain(chain{"refuser", append(slices.Clone(real), b.child(refuserName))}, sendmailRoutes...)
	b.addChain(chain{"actions", []stack.Child{b.child(firstName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"leadspace", []stack.Child{b.child(leadspaceName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"two", []stack.Child{b.child(firstName), b.child(secondName)}}, sendmailRoutes...)
	b.addChain(chain{"silent", []stack.Child{b.child(silentName), b.child(secondName)}}, sendmailRoutes[:2]...)
	b.addChain(chain{"macros", []stack.Child{b.child(listerName), b.child(secondName)}}, sendmailRoutes[:2]...)
}

// The tests of this file are those of the same names without Sendmail, behind
// Sendmail.

func TestSendmailSameOutcome(t *testing.T) {
	run(t, "real", sendmailRoutes, verdicts(t))
	run(t, "real", sendmailRoutes[:2], oddMessages())
	run(t, "real", sendmailRoutes[:2], sessions())
	run(t, "real", sendmailRoutes[:2], oddSessions())
}

func TestSendmailManyRecipients(t *testing.T) { manyRecipients(t, sendmailRoutes) }

func TestSendmailEdits(t *testing.T) { playOn(t, sendmailRoutes[:2], "actions", edits()) }

func TestSendmailLeadingSpace(t *testing.T) {
	playOn(t, sendmailRoutes[:2], "leadspace", leadspace())
}

func TestSendmailPairs(t *testing.T) { playOn(t, sendmailRoutes[:2], "two", pairs()) }

func TestSendmailTogether(t *testing.T) { playOn(t, sendmailRoutes[2:], "two", together()) }

func TestSendmailNextMessage(t *testing.T) { nextMessage(t, sendmailRoutes[:2]) }

func TestSendmailStages(t *testing.T) { playOn(t, sendmailRoutes[:2], "actions", stages()) }

func TestSendmailHelo(t *testing.T) { helos(t, sendmailRoutes[:2]) }

func TestSendmailSilent(t *testing.T) { playOn(t, sendmailRoutes[:2], "silent", shy()) }

func TestSendmailMacros(t *testing.T) { playOn(t, sendmailRoutes[:2], "macros", shy()) }
