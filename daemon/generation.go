package daemon

import (
	"sync/atomic"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit"
)

// A generation is what one reading of the configuration has made.
type generation struct {
	Number     int // 1 is that of the start
	Loaded     time.Time
	config     *config.Config
	dispatcher *milterkit.Dispatcher
	probes     []probe
}

// A failedReload is an attempt to load the configuration that came to nothing.
type failedReload struct {
	At      time.Time
	Message string // all that was wrong, a line each
}

// state is what is in effect. Its methods may be called at any time.
type state struct {
	current atomic.Pointer[generation]
	refused atomic.Pointer[failedReload]
}

// now returns the generation that new sessions get; nil before there is one.
func (s *state) now() *generation { return s.current.Load() }

// lastFailure returns the last attempt to load the configuration where that has
// failed; nil where it has not, or none has been made.
func (s *state) lastFailure() *failedReload { return s.refused.Load() }

func (s *state) begin(g *generation) {
	s.current.Store(g)
	s.refused.Store(nil)
}
