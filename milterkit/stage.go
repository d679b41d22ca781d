package milterkit

// A Stage is a moment of an SMTP session at which children are asked. Stages
// are ordered as a session moves through them; StageUnknown may come at any
// time.
type Stage uint8

const (
	StageConnect Stage = iota + 1 // a client connected
	StageHelo                     // HELO or EHLO, also a repeated one
	StageMail                     // MAIL FROM
	StageRcpt                     // RCPT TO, once for each recipient
	StageData                     // DATA
	StageHeader                   // the whole header has arrived
	StageBody                     // a piece of the body has arrived
	StageMessage                  // the end of the message
	StageUnknown                  // a command that the MTA does not know

	stages // how many slots an array indexed by Stage has
)

var stageNames = [stages]string{
	0:            "no stage",
	StageConnect: "connect",
	StageHelo:    "helo",
	StageMail:    "mail",
	StageRcpt:    "rcpt",
	StageData:    "data",
	StageHeader:  "header",
	StageBody:    "body",
	StageMessage: "end of message",
	StageUnknown: "unknown",
}

// String returns the stage's name as it stands in logs.
func (s Stage) String() string { return nameOf(stageNames[:], s) }
