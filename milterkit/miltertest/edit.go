package miltertest

import (
	"fmt"
	"strings"

	"github.com/milterkit/sdk/milterkit/wire"
)

// An Edit is a change to a message that a filter asks for. Edits can be
// compared with ==.
type Edit struct {
	// Code is the request: wire.RepAddHeader and so on.
	Code byte

	// Index is for an insert the position, which counts the MTA's own Received
	// field as 0; for a change or delete the number of the field among those of
	// its name, 1 for the first.
	Index int

	// Name is the field's name, or the address, as it is written.
	Name string

	// Value is what stands after the field's colon, with its space, whatever
	// the two ends have agreed on; "" in a change is a delete. For an address
	// it is the ESMTP parameters, for a quarantine the reason.
	Value string

	// Body is the new body. An MTA puts pieces that follow one another together.
	Body string
}

// String tells the edit in words, fit to be printed: "add header X-Seen: yes".
func (e Edit) String() string {
	name, value := Escape(e.Name), Escape(e.Value)
	withArgs := strings.TrimRight(name+" "+value, " ")
	switch e.Code {
	case wire.RepAddHeader:
		return "add header " + name + ":" + value
	case wire.RepInsHeader:
		return fmt.Sprintf("insert header %d %s:%s", e.Index, name, value)
	case wire.RepChgHeader:
		if e.Value == "" {
			return fmt.Sprintf("delete header %d %s", e.Index, name)
		}
		return fmt.Sprintf("change header %d %s:%s", e.Index, name, value)
	case wire.RepChgFrom:
		return "change sender " + withArgs
	case wire.RepAddRcpt, wire.RepAddRcptArgs:
		return "add recipient " + withArgs
	case wire.RepDelRcpt:
		return "delete recipient " + name
	case wire.RepQuarantine:
		return "quarantine: " + value
	case wire.RepReplaceBody:
		return fmt.Sprintf("replace body, %d bytes", len(e.Body))
	}
	return wire.RepName(e.Code)
}

// Action is what an MTA must offer for the edit, or 0.
func (e Edit) Action() wire.Actions {
	switch e.Code {
	case wire.RepAddHeader, wire.RepInsHeader:
		return wire.ActAddHeader
	case wire.RepChgHeader:
		return wire.ActChangeHeader
	case wire.RepChgFrom:
		return wire.ActChangeFrom
	case wire.RepAddRcpt:
		return wire.ActAddRcpt
	case wire.RepAddRcptArgs:
		return wire.ActAddRcptArgs
	case wire.RepDelRcpt:
		return wire.ActDelRcpt
	case wire.RepQuarantine:
		return wire.ActQuarantine
	case wire.RepReplaceBody:
		return wire.ActChangeBody
	}
	return 0
}

// isEdit reports whether a reply of that code asks for an edit.
func isEdit(code byte) bool { return Edit{Code: code}.Action() != 0 }

// parseEdit reads the frame of an edit. leading says whether the ends have
// agreed that values have their leading space.
func parseEdit(f wire.Frame, leading bool) (Edit, error) {
	switch f.Code {
	case wire.RepAddHeader:
		h, err := wire.ParseAddHeader(f.Payload)
		return headerEdit(f.Code, h, leading), err
	case wire.RepInsHeader:
		h, err := wire.ParseInsHeader(f.Payload)
		return headerEdit(f.Code, h, leading), err
	case wire.RepChgHeader:
		h, err := wire.ParseChgHeader(f.Payload)
		return headerEdit(f.Code, h, leading), err
	case wire.RepAddRcpt:
		r, err := wire.ParseAddRcpt(f.Payload)
		return Edit{Code: f.Code, Name: string(r.Addr)}, err
	case wire.RepAddRcptArgs:
		r, err := wire.ParseAddRcptArgs(f.Payload)
		return Edit{Code: f.Code, Name: string(r.Addr), Value: string(r.Args)}, err
	case wire.RepDelRcpt:
		r, err := wire.ParseDelRcpt(f.Payload)
		return Edit{Code: f.Code, Name: string(r.Addr)}, err
	case wire.RepChgFrom:
		r, err := wire.ParseChgFrom(f.Payload)
		return Edit{Code: f.Code, Name: string(r.Addr), Value: string(r.Args)}, err
	case wire.RepQuarantine:
		reason, err := wire.ParseQuarantine(f.Payload)
		return Edit{Code: f.Code, Value: string(reason)}, err
	}
	return Edit{Code: f.Code, Body: string(f.Payload)}, nil
}

// headerEdit is the edit of a header. Where values come without their leading
// space the MTA puts one there, also before an empty value.
// Source: MILTER8_HDR_SPACE in Postfix's milter8.c.
func headerEdit(code byte, h wire.HeaderEdit, leading bool) Edit {
	e := Edit{Code: code, Index: int(h.Index), Name: string(h.Name), Value: string(h.Value)}
	deletes := code == wire.RepChgHeader && e.Value == ""
	if !leading && !deletes {
		e.Value = " " + e.Value
	}
	return e
}

// append appends the frames of the edit; a body longer than wire.MaxBody is
// several.
func (e Edit) append(dst []byte, leading bool) []byte {
	value := e.Value
	if !leading {
		value = strings.TrimPrefix(value, " ")
	}
	h := wire.HeaderEdit{Index: uint32(e.Index), Name: []byte(e.Name), Value: []byte(value)}
	r := wire.RcptEdit{Addr: []byte(e.Name)}
	if e.Value != "" {
		r.Args = []byte(e.Value)
	}
	switch e.Code {
	case wire.RepAddHeader:
		return wire.AppendAddHeader(dst, h)
	case wire.RepInsHeader:
		return wire.AppendInsHeader(dst, h)
	case wire.RepChgHeader:
		return wire.AppendChgHeader(dst, h)
	case wire.RepAddRcpt:
		return wire.AppendAddRcpt(dst, r)
	case wire.RepAddRcptArgs:
		return wire.AppendAddRcptArgs(dst, r)
	case wire.RepDelRcpt:
		return wire.AppendDelRcpt(dst, r)
	case wire.RepChgFrom:
		return wire.AppendChgFrom(dst, r)
	case wire.RepQuarantine:
		return wire.AppendQuarantine(dst, []byte(e.Value))
	}
	body := []byte(e.Body)
	for len(body) > wire.MaxBody {
		dst = wire.AppendReplaceBody(dst, body[:wire.MaxBody])
		body = body[wire.MaxBody:]
	}
	return wire.AppendReplaceBody(dst, body)
}

// Shorthands for the edits, as Go and libmilter name them. The value of a field
// gets a space before it, as in libmilter and in package milterkit.

// AddHeader adds a field at the end of the header.
func AddHeader(name, value string) Edit {
	return Edit{Code: wire.RepAddHeader, Name: name, Value: " " + value}
}

// InsertHeader inserts a field; position 0 is above the MTA's own Received.
func InsertHeader(position int, name, value string) Edit {
	return Edit{Code: wire.RepInsHeader, Index: position, Name: name, Value: " " + value}
}

// ChangeHeader gives the nth field of that name another value.
func ChangeHeader(nth int, name, value string) Edit {
	return Edit{Code: wire.RepChgHeader, Index: nth, Name: name, Value: " " + value}
}

// DeleteHeader deletes the nth field of that name.
func DeleteHeader(nth int, name string) Edit {
	return Edit{Code: wire.RepChgHeader, Index: nth, Name: name}
}

// ChangeSender replaces the sender.
func ChangeSender(addr string, args ...string) Edit {
	return Edit{Code: wire.RepChgFrom, Name: addr, Value: strings.Join(args, " ")}
}

// AddRecipient adds a recipient; with parameters it is ADDRCPT_PAR.
func AddRecipient(addr string, args ...string) Edit {
	if len(args) > 0 {
		return Edit{Code: wire.RepAddRcptArgs, Name: addr, Value: strings.Join(args, " ")}
	}
	return Edit{Code: wire.RepAddRcpt, Name: addr}
}

// DeleteRecipient takes a recipient away.
func DeleteRecipient(addr string) Edit { return Edit{Code: wire.RepDelRcpt, Name: addr} }

// ReplaceBody replaces the body; lines end in CRLF.
func ReplaceBody(body string) Edit { return Edit{Code: wire.RepReplaceBody, Body: body} }

// Quarantine has the MTA hold the message.
func Quarantine(reason string) Edit { return Edit{Code: wire.RepQuarantine, Value: reason} }
