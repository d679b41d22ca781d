package replay

import (
	"slices"
	"strings"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// asSendmail returns what Sendmail makes of the message when one filter asks for
// these edits, as far as filters were recorded behind it. Before the message's
// fields its list has eight of its own, which count for positions and are shown
// to nobody; deleted fields keep their place and number; an add goes before the
// first field of that name, and only then to the end.
// Sources: sendmail/milter.c and headers.c; "Format of headers" in cf/m4/proto.m4.
func asSendmail(m *miltertest.Message, edits []miltertest.Edit) *miltertest.Message {
	const hidden = 8
	type entry struct {
		miltertest.Field
		shown bool
	}
	list, body := make([]entry, hidden), m.Body
	for _, f := range m.Shown() {
		list = append(list, entry{f, true})
	}
	find := func(name string, nth int) int { // len(list) where there is none
		for i, x := range list {
			if strings.EqualFold(x.Name, name) {
				if nth--; nth == 0 {
					return i
				}
			}
		}
		return len(list)
	}
	for _, e := range edits {
		x := entry{miltertest.Field{Name: e.Name, Value: e.Value}, true}
		switch e.Code {
		case wire.RepAddHeader:
			list = slices.Insert(list, find(e.Name, 1), x)
		case wire.RepInsHeader:
			list = slices.Insert(list, min(e.Index, len(list)), x)
		case wire.RepChgHeader:
			x.shown = e.Value != ""
			list[find(e.Name, e.Index)] = x
		case wire.RepReplaceBody:
			body = []byte(e.Body)
		}
	}
	out := &miltertest.Message{Body: body}
	for _, x := range list {
		if x.shown {
			out.Fields = append(out.Fields, x.Field)
		}
	}
	return out
}
