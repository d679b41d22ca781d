package wire

import "encoding/binary"

// A HeaderEdit is one change to the header that a filter asks for. Its slices
// are views. Value is what is to stand after the colon; where LeadingSpace was
// not negotiated the MTA puts a space before it. Folds in it are bare LFs:
// Postfix turns a CRLF into CR CR LF.
type HeaderEdit struct {
	// Index is for an insert where the field goes, 0 for the top, counting all
	// fields with those that the MTA hides from filters; for a change the number
	// of the field among those of its name, 1 for the first (Postfix reads 0 as 1).
	// An add has none.
	Index uint32
	Name  []byte // without the colon; never empty
	Value []byte // empty: a field without a value, and for a change: delete it
}

// ParseAddHeader reads the payload of RepAddHeader (SMFIR_ADDHEADER): a field
// to go to the end of the header. Like the two that follow it fails where the
// name is empty (libmilter does not send such), a NUL is missing, or something
// follows the value.
func ParseAddHeader(p []byte) (HeaderEdit, error) {
	return parseHeaderEdit(RepAddHeader, p)
}

// ParseInsHeader reads the payload of RepInsHeader (SMFIR_INSHEADER): a field
// to go to a given place.
func ParseInsHeader(p []byte) (HeaderEdit, error) {
	return parseIndexedEdit(RepInsHeader, p)
}

// ParseChgHeader reads the payload of RepChgHeader (SMFIR_CHGHEADER): another
// value for a field, or none, which deletes it.
func ParseChgHeader(p []byte) (HeaderEdit, error) {
	return parseIndexedEdit(RepChgHeader, p)
}

// parseIndexedEdit reads index, name and value.
func parseIndexedEdit(code byte, p []byte) (HeaderEdit, error) {
	if len(p) < 4 {
		return HeaderEdit{}, fault(code, "no index")
	}
	e, err := parseHeaderEdit(code, p[4:])
	if err != nil {
		return HeaderEdit{}, err
	}
	e.Index = binary.BigEndian.Uint32(p)
	return e, nil
}

// parseHeaderEdit reads name and value.
func parseHeaderEdit(code byte, p []byte) (HeaderEdit, error) {
	name, rest, ok := cut(p)
	switch {
	case !ok:
		return HeaderEdit{}, fault(code, "no NUL after the field's name")
	case len(name) == 0:
		return HeaderEdit{}, fault(code, "the field has no name")
	}
	value, err := only(code, rest, "the field's value")
	if err != nil {
		return HeaderEdit{}, err
	}
	return HeaderEdit{Name: name, Value: value}, nil
}

// AppendAddHeader appends the frame of RepAddHeader, which has no Index.
func AppendAddHeader(dst []byte, e HeaderEdit) []byte {
	dst, at := begin(dst, RepAddHeader)
	return end(appendBytes(appendBytes(dst, e.Name), e.Value), at)
}

// AppendInsHeader appends the frame of RepInsHeader.
func AppendInsHeader(dst []byte, e HeaderEdit) []byte {
	return appendIndexedEdit(dst, RepInsHeader, e)
}

// AppendChgHeader appends the frame of RepChgHeader.
func AppendChgHeader(dst []byte, e HeaderEdit) []byte {
	return appendIndexedEdit(dst, RepChgHeader, e)
}

// appendIndexedEdit appends a frame of index, name and value.
func appendIndexedEdit(dst []byte, code byte, e HeaderEdit) []byte {
	dst, at := begin(dst, code)
	dst = binary.BigEndian.AppendUint32(dst, e.Index)
	return end(appendBytes(appendBytes(dst, e.Name), e.Value), at)
}
