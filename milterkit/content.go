package milterkit

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/milterkit/sdk/internal/overlay"
	"github.com/milterkit/sdk/milterkit/wire"
)

// The content of a message (header, body, end) is one stage: the first child
// or group has all of it, and its edits and verdict are known, before those of
// the next count. The first group may be shown it while it arrives; for the
// others it is kept, if there are any.

// content is the content of a message as far as it has arrived, with the edits
// of the children laid over it.
type content struct {
	fields   []overlay.Field // as the MTA showed them
	header   editedHeader
	headed   bool // the whole header has arrived
	body     net.Buffers
	size     int64
	keep     bool // the body is kept
	fed      bool // the first group is shown the content as it arrives
	left     bool // its memory is left to a hook that was given up
	spent    time.Duration
	complete bool // it has come to the end

	whole bool   // it was given as a whole
	text  []byte // its body then

	sender     []Edit // at most one
	recipients []Edit
	quarantine []Edit
	newBody    []Edit // at most one
}

// An editedHeader is the header of a message with the edits of the children laid
// over it, as the MTA would make them: an overlay.Header or SendmailHeader.
type editedHeader interface {
	Reset(fields []overlay.Field)
	Fields() []overlay.Field
	Above() int
	Apply(group ...[]overlay.Edit)
	Script() []overlay.Edit
}

// reset forgets the content. Lists that a hook may still look at are left to it.
func (c *content) reset() {
	if c.left {
		*c = content{header: overlay.New(nil)}
		return
	}
	if len(c.newBody) > 0 || cap(c.body) > keptList {
		c.body = nil // it is the child's own, or large
	}
	if cap(c.fields) > keptList {
		c.fields, c.header = nil, overlay.New(nil)
	}
	clear(c.fields)
	clear(c.body)
	c.header.Reset(nil) // the message may have an end before it has a header
	*c = content{fields: c.fields[:0], body: c.body[:0], header: c.header}
}

// keptList is how long a list may be that is kept for the next message.
const keptList = 256

// begun reports whether anything of the content has arrived.
func (c *content) begun() bool { return c.headed || len(c.fields) > 0 }

// leaveMemory leaves all lists of the message to a hook that does not return.
func (w *Walk) leaveMemory() { w.left = true }

// Header takes a field of the header. value is what stands after the colon.
// Both must stay as they are until Reset. Content without a Mail before it is
// nobody's, here and in the methods that follow.
func (w *Walk) Header(name, value []byte) {
	if !w.open {
		return
	}
	if w.fields == nil {
		w.fields = make([]overlay.Field, 0, usualFields)
	}
	w.fields = append(w.fields, overlay.Field{Name: name, Value: value})
}

// usualFields is how many fields most messages have at most.
const usualFields = 24

// EndOfHeader says that the whole header has arrived.
func (w *Walk) EndOfHeader(ctx context.Context) {
	if !w.open || w.content.headed {
		return
	}
	w.content.headed = true
	w.kind = mtaOf(w.sess.Macro("v")) // no stage has begun since the header
	w.header = w.mta().header(w.header)
	w.header.Reset(w.fields)
	w.decideToKeep()
}

// feedFrom is how long a body must be for the first group to be shown the content
// while it arrives, in bytes. A shorter one has mostly arrived by the time that a
// hook is under way: it is shown when it is complete, each child being asked once.
const feedFrom = wire.MaxBody

// feed begins to show the first group the content while it arrives, with what
// there is of it.
func (w *Walk) feed(ctx context.Context) {
	w.fed = true
	from, to := w.firstGroup()
	if !w.mta().feedsPatiently() {
		from, to = 0, 0 // all hooks wait for the end of the message
	}
	if from == to {
		return
	}
	w.beginContent(ctx, StageHeader)
	w.first = from
	for i := from; i < to; i++ {
		p := &w.parts[i]
		if p.live = p.wantsContent(); !p.live {
			continue
		}
		p.answer = Continue
		if p.hooks.Header != nil {
			p.headed = true
			p.begin(StageHeader, runHeader)
		}
	}
	w.await()
	w.decideLive(StageHeader)
	w.endContent()
	for _, piece := range w.body {
		w.showPiece(ctx, piece)
	}
	w.decideToKeep()
}

// decideToKeep settles whether the body is kept from now on.
func (w *Walk) decideToKeep() {
	w.keep = false
	for i := range w.parts {
		w.keep = w.keep || !w.ended.Final() && w.parts[i].needsBody()
	}
}

// KeepsBody reports whether the pieces given to Body from now on must stay as
// they are until Reset. If not, they need to stay for the call only.
func (w *Walk) KeepsBody() bool { return w.keep }

// Body takes a piece of the body.
func (w *Walk) Body(ctx context.Context, piece []byte) { w.takePiece(ctx, piece, piece, false) }

// takePiece is Body for a piece that is kept elsewhere than it stands. joined says
// that kept begins with what was kept of the last piece: it is the two together.
func (w *Walk) takePiece(ctx context.Context, piece, kept []byte, joined bool) {
	w.EndOfHeader(ctx)
	if !w.open || len(piece) == 0 {
		return
	}
	w.size += int64(len(piece))
	if w.ended.Final() {
		return
	}
	switch {
	case !w.keep:
	case joined && len(w.body) > 0:
		w.body[len(w.body)-1] = kept
	default:
		w.body = append(w.body, kept)
	}
	switch {
	case w.fed:
		w.showPiece(ctx, piece)
	case w.size >= w.d.feedFrom:
		w.feed(ctx)
	}
}

// showPiece shows a piece of the body to those who see it arrive.
func (w *Walk) showPiece(ctx context.Context, piece []byte) {
	asked := false
	for i := range w.parts {
		p := &w.parts[i]
		if !p.live || p.decided || p.hooks.Body == nil {
			continue
		}
		if !asked {
			w.beginContent(ctx, StageBody)
			w.first, asked = i, true
		}
		p.call.piece = piece
		p.begin(StageBody, runBody)
	}
	if asked {
		w.await()
		w.decideLive(StageBody)
		w.endContent()
	}
}

// EndOfMessage says that the whole message has arrived, and returns what the
// children have made of it.
func (w *Walk) EndOfMessage(ctx context.Context) Outcome {
	w.EndOfHeader(ctx)
	if !w.open {
		return Outcome{}
	}
	w.complete = true
	if w.ended.Final() {
		return Outcome{Verdict: w.ended}
	}
	w.beginContent(ctx, StageMessage)
	defer w.endContent()
	for from := 0; from < len(w.parts); {
		to := w.groupEnd(from)
		if v := w.askGroup(from, to); v.Final() {
			w.ended = v
			return Outcome{Verdict: v}
		}
		from = to
	}
	return Outcome{Edits: w.script(), walk: w, nth: w.messages}
}

// Refuse ends the message at hand for a reason of the caller's own: no child
// is asked about it any more, and every stage gets that verdict.
func (w *Walk) Refuse(v Verdict) {
	if w.open && !w.ended.Final() {
		at := w.stage
		if !w.atContent() {
			at = StageHeader // of which nobody has been asked yet
		}
		w.ended = v
		w.report.decide(nil, at, v)
	}
}

// beginContent starts the time for the content that all children together have
// left of it.
func (w *Walk) beginContent(ctx context.Context, at Stage) {
	w.begin(ctx, at)
	w.contentSince = w.began
	limit := w.mta().messageTimeout(or(w.d.MessageTimeout, DefaultMessageTimeout))
	w.until = w.contentSince.add(limit - w.spent)
}

func (w *Walk) endContent() { w.spent += now().sub(w.contentSince) }

// groupEnd returns the end of the group of parts that begins at from.
func (w *Walk) groupEnd(from int) int {
	to := from + 1
	for to < len(w.parts) && w.parts[to].Together {
		to++
	}
	return to
}

// firstGroup returns the first group of which somebody wants the content. It is
// empty if there is none, or if the message is refused before it comes to it.
func (w *Walk) firstGroup() (from, to int) {
	for from < len(w.parts) {
		to = w.groupEnd(from)
		for i := from; i < to; i++ {
			if w.parts[i].stuck.Final() {
				return 0, 0
			}
		}
		for i := from; i < to; i++ {
			if w.parts[i].wantsContent() {
				w.first = from
				return from, to
			}
		}
		from = to
	}
	return 0, 0
}

// wantsContent reports whether the child takes part in the content.
func (p *part) wantsContent() bool {
	return p.in && !p.out && !p.stuck.Final() && p.concerned() && p.hooks.content()
}

// needsBody reports whether the body has to be kept for the child.
func (p *part) needsBody() bool {
	switch {
	case !p.wantsContent() || p.decided:
		return false
	case p.live:
		return p.hooks.Message != nil && p.hooks.Body == nil
	}
	return p.hooks.Message != nil || p.hooks.Body != nil
}

// decideLive looks at what the children of the first group have just said. If it
// is one child alone and it refuses, nobody will want the body.
func (w *Walk) decideLive(at Stage) {
	count, refused := 0, false
	for i := range w.parts {
		if p := &w.parts[i]; p.live {
			if !p.decided && (at == StageHeader || p.hooks.Body != nil) {
				p.hear()
				p.decided = p.content.kind != KindContinue
			}
			count++
			refused = p.content.Final() && !p.Shadow
		}
	}
	if count == 1 && refused {
		w.keep = false
		for i := range w.parts {
			w.parts[i].decided = true
		}
	}
}

// askGroup asks the parts from from to to about the content, all at the same
// time, and lays their edits over the message. The first final verdict in order
// is the answer.
func (w *Walk) askGroup(from, to int) Verdict {
	w.first = from
	group := w.parts[from:to]
	for i := range group {
		p := &group[i]
		if !p.wantsContent() || p.decided {
			continue
		}
		p.answer = Continue
		p.call.edits.reset(w.sess.Actions, w.mta(), w.header.Fields())
		p.call.headed, p.call.live, p.call.pieces = p.headed, p.live, nil
		if p.hooks.Body != nil {
			p.call.pieces = w.body
		}
		if p.live && p.hooks.Message == nil {
			continue // it has seen all that it wants
		}
		p.begin(StageMessage, runContent)
	}
	w.await()
	for i := range group {
		p := &group[i]
		if p.wantsContent() && !p.decided {
			p.hear()
		}
		v := p.stuck
		if !v.Final() && p.wantsContent() {
			v = p.contentVerdict()
		}
		if v.Final() {
			w.report.decide(p, StageMessage, v)
			return v
		}
	}
	w.merge(group)
	if len(w.content.newBody) > 0 && w.wantBody(w.parts[to:]) {
		w.body = asLines(w.body)
	}
	return Continue
}

// wantBody reports whether any of the parts will look at the body.
func (w *Walk) wantBody(parts []part) bool {
	for i := range parts {
		if p := &parts[i]; p.wantsContent() && (p.hooks.Body != nil || p.hooks.Message != nil) {
			return true
		}
	}
	return false
}

// hear keeps what the child has just said of the content.
func (p *part) hear() {
	p.content, p.said = p.answer, Stage(p.call.stage.Load())
}

// contentVerdict returns what the child's verdict on the content means.
func (p *part) contentVerdict() Verdict {
	v := p.content
	// Edits before a refusal or a failure do not count; before the end there
	// are none.
	if !p.decided && (v.kind == KindContinue || v.kind == KindAccept) {
		p.edits = p.call.edits.Len()
	}
	return p.heed(p.said, v)
}

// merge lays the edits of a group of parts over the message.
func (w *Walk) merge(group []part) {
	var ofHeader [][]overlay.Edit // of each part
	for i := range group {
		p := &group[i]
		if p.edits == 0 || p.Shadow {
			continue
		}
		var edits []overlay.Edit
		for e := range p.call.edits.All() {
			if kind, ok := headerKind(e.Op); ok {
				edits = append(edits, overlay.Edit{Kind: kind, Index: e.Index, Name: e.Name, Value: e.Value})
			} else {
				w.keepEdit(e)
			}
		}
		if edits != nil {
			ofHeader = append(ofHeader, edits)
		}
	}
	if ofHeader != nil {
		w.header.Apply(ofHeader...)
	}
}

// headerKind returns the overlay's word for an edit of the header.
func headerKind(o Op) (kind overlay.Kind, ok bool) {
	switch o {
	case OpAddHeader:
		return overlay.Add, true
	case OpInsertHeader:
		return overlay.Insert, true
	case OpChangeHeader:
		return overlay.Change, true
	case OpDeleteHeader:
		return overlay.Delete, true
	}
	return 0, false
}

// keepEdit takes an edit that is not one of the header.
func (w *Walk) keepEdit(e Edit) {
	switch e.Op {
	case OpChangeSender:
		w.content.sender = append(w.content.sender[:0], e)
	case OpAddRecipient, OpDeleteRecipient:
		w.content.recipients = append(w.content.recipients, e)
	case OpQuarantine:
		w.content.quarantine = append(w.content.quarantine, e)
	case OpReplaceBody:
		w.content.newBody = append(w.content.newBody[:0], e)
		w.body = e.Body
	}
}

// script returns the edits that the MTA is to make.
func (w *Walk) script() []Edit {
	for i := range w.parts {
		if p := &w.parts[i]; p.hold != "" {
			w.content.quarantine = append(w.content.quarantine, Edit{Op: OpQuarantine, Value: p.hold})
		}
	}
	list := slices.Concat(w.content.sender, w.content.recipients)
	for _, e := range w.header.Script() {
		list = append(list, Edit{Op: headerOps[e.Kind], Index: e.Index, Name: e.Name, Value: e.Value})
	}
	list = slices.Concat(list, w.content.quarantine, w.content.newBody)
	w.report.edits = len(list)
	w.report.held = len(w.content.quarantine) > 0
	return list
}

var headerOps = [...]Op{
	overlay.Add:    OpAddHeader,
	overlay.Insert: OpInsertHeader,
	overlay.Change: OpChangeHeader,
	overlay.Delete: OpDeleteHeader,
}
