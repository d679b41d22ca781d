package history

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// A memory is a Store that breaks when it is told to.
type memory struct {
	mu     sync.Mutex
	blob   []byte
	broken error
}

func (m *memory) Save(_ string, blob []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.blob = blob
	}
	return m.broken
}

func (m *memory) Load(string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blob, m.broken
}

func keeping(store Store) (*Keeper, *History) {
	h, _ := counting()
	k := &Keeper{History: h, Store: store, Log: slog.New(slog.DiscardHandler)}
	k.Begin()
	return k, h
}

// A process that is started after the clock was set back has the history all the same.
func TestTheNewProcessHasTheHistoryAfterAClockStep(t *testing.T) {
	ahead := after("", time.Now().AddDate(1, 0, 0))
	if next := after(ahead, time.Now()); next <= ahead {
		t.Errorf("%s comes before %s", next, ahead)
	}
}

// What is counted is saved, however much text of strangers the messages that are kept
// have.
func TestLongTextsDoNotKeepItFromBeingSaved(t *testing.T) {
	h, c := counting()
	for range keptRefused {
		m := message("reject", c.now, time.Second)
		m.Refused, m.Code = keptSteps, 550
		for range keptSteps {
			to := make([]byte, 500)
			rand.Read(to)
			m.Steps = append(m.Steps, record.Step{At: "rcpt", To: fmt.Sprintf("%x", to), Verdict: "reject", Code: 550})
		}
		h.record(m)
	}
	blob, err := h.save("me")
	if err != nil || len(blob) > mostKept {
		t.Fatalf("%d bytes, %v", len(blob), err)
	}
	again, _ := counting()
	if err := again.Load(blob); err != nil || total(again, 0, "reject") != keptRefused || len(again.Refused()) != keptRefused || len(h.Refused()[0].Message.Steps) != keptSteps {
		t.Errorf("%d messages, %d kept, %v", total(again, 0, "reject"), len(again.Refused()), err)
	}
}

// A process goes on with what the one before it has counted; that one, which still
// has sessions, does not overwrite what the new one saves.
func TestTheNewProcessHasTheHistory(t *testing.T) {
	store := &memory{}
	old, counts := keeping(store)
	counts.record(message("accept", begun))
	if !old.Save() {
		t.Fatal("it is not its own")
	}
	next, more := keeping(store)
	counts.record(message("accept", begun))
	if old.Save() {
		t.Error("the old process saves what is the new one's")
	}
	more.record(message("accept", begun))
	if !next.Save() {
		t.Error("the new process does not save")
	}
	if _, h := keeping(store); total(h, 0, "accept") != 2 {
		t.Errorf("%d messages", total(h, 0, "accept"))
	}
}

// A store that fails, or has nothing of use, costs the history, and is tried again.
func TestAStoreThatFails(t *testing.T) {
	store := &memory{broken: errors.New("disk full"), blob: []byte("0 0\nnonsense")}
	k, h := keeping(store)
	h.record(message("accept", begun))
	if !k.Save() {
		t.Error("it gives up")
	}
	store.broken = nil
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	k.Run(ctx)
	if _, h := keeping(store); total(h, 0, "accept") != 1 {
		t.Error("it is not saved at the end")
	}
}

// Put never waits, and what was put before the end is counted.
func TestPutNeverWaits(t *testing.T) {
	h, c := counting()
	for range queued + 100 {
		h.Put(message("accept", c.now, time.Millisecond))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.Run(ctx, func() (uint64, int) { return 5, 1 })
	if n := total(h, 0, "accept"); n != queued {
		t.Errorf("%d are counted", n)
	}
}
