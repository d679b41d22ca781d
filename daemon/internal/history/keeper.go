package history

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// queued is how many messages may wait to be counted.
const queued = 4096

// Put has a message counted soon. It never waits; where too many wait already it is
// not counted, nor kept. The message must not change any more.
func (h *History) Put(m *record.Message) {
	select {
	case h.queue <- m:
	default:
	}
}

// Run counts what Put is given until ctx is done, and every five seconds the sessions:
// how many have begun so far, and how many there are.
func (h *History) Run(ctx context.Context, sessions func() (begun uint64, now int)) {
	tick := time.NewTicker(ticks * time.Second)
	defer tick.Stop()
	var before uint64
	for {
		select {
		case m := <-h.queue:
			h.record(m)
		case <-tick.C:
			begun, now := sessions()
			h.sessions(int(begun-before), now)
			before = begun
		case <-ctx.Done():
			for {
				select {
				case m := <-h.queue:
					h.record(m)
				default:
					return
				}
			}
		}
	}
}

// A Store keeps a History over restarts. It may wait for a disk. Load returns nil where
// there is nothing.
type Store interface {
	Save(name string, blob []byte) error
	Load(name string) ([]byte, error)
}

// storedAs is the name in a Store.
const storedAs = "history"

// saveEvery is how much is lost where the machine loses its power.
const saveEvery = time.Minute

// A Keeper saves a History in a Store. Of several processes that do, as at a restart
// that hands sockets over, the one that was started last has it: what the others still
// count is lost.
type Keeper struct {
	History *History
	Store   Store
	Log     *slog.Logger

	mu    sync.Mutex
	owner string // "": Begin has not been called
}

// Begin takes up what another process has left behind, and makes it this one's.
func (k *Keeper) Begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	blob, err := k.Store.Load(storedAs)
	k.owner = after(Owner(blob), time.Now())
	if err == nil && blob != nil {
		err = k.History.Load(blob)
	}
	if err != nil {
		k.Log.Warn("the figures of before are not there: the status page begins anew", "error", err)
	}
	k.save()
}

// after names this process so that it comes after the one before, also where the clock
// was set back meanwhile.
func after(before string, now time.Time) string {
	at := now.UnixNano()
	last, _, _ := strings.Cut(before, " ")
	if n, err := strconv.ParseInt(last, 10, 64); err == nil && n >= at && n < math.MaxInt64 {
		at = n + 1
	}
	return fmt.Sprintf("%020d %d", at, os.Getpid())
}

// Run saves every minute, and when ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for k.Save() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			k.Save()
			return
		}
	}
}

// Save saves what there is now, and reports whether the History is still this
// process's. Before Begin it does nothing.
func (k *Keeper) Save() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner == "" {
		return true
	}
	blob, err := k.Store.Load(storedAs)
	if err != nil {
		k.Log.Warn("the figures of the status page are not saved", "error", err)
		return true
	}
	if Owner(blob) > k.owner {
		return false
	}
	k.save()
	return true
}

func (k *Keeper) save() {
	blob, err := k.History.save(k.owner)
	if err == nil {
		err = k.Store.Save(storedAs, blob)
	}
	if err != nil {
		k.Log.Warn("the figures of the status page are not saved", "error", err)
	}
}
