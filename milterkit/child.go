package milterkit

import "context"

// A Child is one filter behind the multiplexer. One Child serves all
// sessions, so its methods may be called at the same time.
type Child interface {
	// Name names the child in logs, metrics and configuration.
	Name() string

	// Hooks returns what the child does in one session. It is called once
	// for each session, before anything is known of the client, and must
	// return at once. State that belongs to the session lives in the hooks.
	Hooks() Hooks
}

// Hooks is what a child does at each stage of one session. Every field is
// optional; the MTA is not asked for what no child wants.
//
// The hooks of one child in one session are never called at the same time. A
// hook must return soon after its ctx is done; one that does not is given up
// (unless it is Prompt), and none of that child's hooks is called again in that
// session. The ctx
// holds for the duration of the call.
//
// What a hook is shown is the child's own view: strings are safe to keep, the
// bytes of a message until Reset, but for those given to Body while the message still
// arrives.
type Hooks struct {
	// Connect is asked when the client has connected. Reject and TempFail refuse the whole session, Accept
	// ends the child's part in it. Discard has no meaning here and counts as Continue.
	Connect func(ctx context.Context, s *Session) Verdict

	// Helo is asked at each HELO or EHLO. Its verdicts mean what they mean at Connect.
	Helo func(ctx context.Context, s *Session) Verdict

	// Mail is asked about the sender. From here on, Accept ends the child's part in this message only.
	Mail func(ctx context.Context, e *Envelope) Verdict

	// Rcpt is asked about one recipient. Reject and TempFail refuse that recipient alone; e.Recipients holds
	// those of this message taken before it, and at Data those taken in the end.
	Rcpt func(ctx context.Context, e *Envelope, to Address) Verdict

	// RefusedRcpt is told of a recipient that the MTA itself has refused.
	// The verdict cannot help that recipient. Source: SMFIP_RCPT_REJ.
	RefusedRcpt func(ctx context.Context, e *Envelope, to Address) Verdict

	// Data is asked at DATA, after the last recipient.
	Data func(ctx context.Context, e *Envelope) Verdict

	// Header is called when the whole header has arrived, or later. It sees the
	// header as the children before it left it.
	Header func(ctx context.Context, m *Message) Verdict

	// Body is given the body piece by piece, in order. It is for a child that reads the body once; for such a
	// child m.Body is empty in Message, so that nothing is kept for it. A piece is cut anywhere, also within
	// CRLF, and stays for the call, or, where m.Complete, until Reset.
	Body func(ctx context.Context, m *Message, piece []byte) Verdict

	// Message is called when the whole message has arrived. It sees the message as the children before it left
	// it, and is the only hook that can change it: e counts if the verdict is Continue or Accept.
	Message func(ctx context.Context, m *Message, e *Edits) Verdict

	// Unknown is asked about a command that the MTA does not know, or does not have. line is what the client
	// sent; Postfix before 3.9.1 gives only its first word.
	Unknown func(ctx context.Context, s *Session, line string) Verdict

	// Reset is called after each message that the child was told of, however it ended: taken, refused, aborted
	// by the client, or lost with the connection. It must return soon: the MTA may be waiting already for the
	// answer to what it said next.
	Reset func()

	// Close is called once, when the session ends. It must return soon too.
	Close func()

	// Prompt promises that the hooks, and the Child's Hooks method, return soon after their ctx is done,
	// whatever happens: that they wait for nothing else than what ends then. They may be called on the
	// goroutine that calls the Walk, which saves waking two threads for each. Who does not keep the promise
	// holds up the session, and no timeout ends that; who calls runtime.Goexit ends it.
	Prompt bool

	// Macros names the macros that the child would like to have at a stage, besides those that MTAs send
	// unasked. Names stand as the MTA spells them: "i", "{auth_authen}".
	Macros map[Stage][]string
}

// has reports whether the child has a hook for a stage before the content, or
// for unknown commands.
func (h *Hooks) has(at Stage) bool {
	switch at {
	case StageConnect:
		return h.Connect != nil
	case StageHelo:
		return h.Helo != nil
	case StageMail:
		return h.Mail != nil
	case StageRcpt:
		return h.Rcpt != nil || h.RefusedRcpt != nil
	case StageData:
		return h.Data != nil
	}
	return h.Unknown != nil
}

// content reports whether the child wants any of a message's content.
func (h *Hooks) content() bool { return h.Header != nil || h.Body != nil || h.Message != nil }

// OnRcpt makes a Child of a function that is asked about each recipient.
func OnRcpt(name string, f func(context.Context, *Envelope, Address) Verdict) Child {
	return stateless{name, Hooks{Rcpt: f}}
}

// OnMessage makes a Child of a function that is asked about each whole message.
func OnMessage(name string, f func(context.Context, *Message, *Edits) Verdict) Child {
	return stateless{name, Hooks{Message: f}}
}

// NewChild makes a Child of a function that returns what the child does in one
// session. What belongs to a session is the function's variables, which the hooks
// share; what belongs to a message is set back by Reset.
func NewChild(name string, session func() Hooks) Child { return child{name, session} }

type child struct {
	name    string
	session func() Hooks
}

func (c child) Name() string { return c.name }
func (c child) Hooks() Hooks { return c.session() }

// stateless is a Child whose hooks serve all sessions.
type stateless struct {
	name  string
	hooks Hooks
}

func (c stateless) Name() string { return c.name }
func (c stateless) Hooks() Hooks { return c.hooks }
