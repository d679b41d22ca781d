package milterkit

import "github.com/emersion/go-milter"

// Actions is a set of changes to a message, as MTA and filter agree on them.
type Actions = milter.OptAction

// What an MTA may let a filter do to a message (SMFIF_*).
const (
	ActionAddHeader        = milter.OptAddHeader    // add and insert
	ActionChangeHeader     = milter.OptChangeHeader // change and delete
	ActionChangeBody       = milter.OptChangeBody
	ActionAddRecipient     = milter.OptAddRcpt
	ActionAddRecipientArgs = milter.OptAddRcptWithArgs // with ESMTP parameters
	ActionDeleteRecipient  = milter.OptRemoveRcpt
	ActionChangeSender     = milter.OptChangeFrom
	ActionQuarantine       = milter.OptQuarantine

	// AllActions are what Postfix and Sendmail let a filter do.
	AllActions = ActionAddHeader | ActionChangeHeader | ActionChangeBody | ActionAddRecipient |
		ActionAddRecipientArgs | ActionDeleteRecipient | ActionChangeSender | ActionQuarantine
)
