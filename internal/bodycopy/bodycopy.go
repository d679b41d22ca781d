// Package bodycopy is where bytes of message bodies are copied, and counted.
//
// A body byte is read once and stays where it was read. The exceptions are a body
// that goes to a file for want of memory, and one that a child puts in place of
// another. Whoever makes one calls this package; the house test knows that nobody
// else copies bytes on a message's way.
package bodycopy

import "sync/atomic"

var total atomic.Int64

// Count notes that n bytes are copied.
func Count(n int) { total.Add(int64(n)) }

// Total returns how many bytes this process has copied.
func Total() int64 { return total.Load() }

// Append is append(dst, p...), counted.
func Append(dst, p []byte) []byte {
	Count(len(p))
	return append(dst, p...)
}
