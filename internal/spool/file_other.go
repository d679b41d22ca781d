//go:build !unix || openbsd

package spool

import "errors"

// A file is the part of a message that is not in slabs. Here there is none: a
// mapping would not show what is written to the file meanwhile.
type file struct{ spilled int64 }

func (*file) put(b *Budget, p []byte, _ bool) (view []byte, joined bool, err error) {
	if len(p) == 0 {
		return []byte{}, false, nil
	}
	return nil, false, &SpillError{Dir: b.Dir, Op: "create", Err: errors.ErrUnsupported}
}

func (*file) close() {}
