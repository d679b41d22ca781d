//go:build !linux

package clamd

import (
	"context"
	"io"

	"github.com/milterkit/sdk/builtin/internal/peer"
)

// hand is for systems that have files in memory.
func (c *child) hand(context.Context, peer.Addr, io.Reader, int64) (string, error) {
	return "", errNotHanded
}
