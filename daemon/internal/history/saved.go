package history

import (
	"bytes"
	"compress/flate"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// saved is a History as it is stored.
type saved struct {
	Owner   string // the process that counts in it
	Rings   [3]ring
	Milters map[string]*milter
	Kept    []byte // JSON
}

const (
	maxSaved = 64 << 20 // bounds what is read back
	mostKept = 1 << 20  // bytes that a Store takes
)

// Owner returns whose a saved History is.
func Owner(blob []byte) string {
	owner, _, _ := strings.Cut(string(blob[:min(len(blob), 100)]), "\n")
	return owner
}

// save returns the History as Load takes it, in the name of the process that counts.
// Messages are not held up while it is written.
// Where it would be more than a Store takes, messages that are kept lose their parts that
// can be long, or are left out: what counts is counted. The owner has no line feed, and 100
// bytes at most.
func (h *History) save(owner string) ([]byte, error) {
	s, k := h.copied()
	for _, less := range []func(*kept){func(*kept) {}, (*kept).cut, (*kept).empty} {
		less(&k)
		blob, err := s.pack(k, owner)
		if err != nil || len(blob) <= mostKept {
			return blob, err
		}
	}
	return nil, errors.New("it is too large")
}

// pack makes the bytes of it.
func (s *saved) pack(k kept, owner string) ([]byte, error) {
	var err error
	if s.Kept, err = json.Marshal(k); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(owner + "\n")
	z, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err = errors.Join(gob.NewEncoder(z).Encode(s), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (h *History) copied() (*saved, kept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &saved{Rings: h.rings, Milters: make(map[string]*milter, len(h.milters))}
	for i := range s.Rings {
		s.Rings[i].Slots = slices.Clone(s.Rings[i].Slots)
	}
	for name, m := range h.milters {
		c := *m
		for i := range c.Cells {
			c.Cells[i] = slices.Clone(c.Cells[i])
		}
		s.Milters[name] = &c
	}
	k := h.kept
	k.Slow, k.Refused = slices.Clone(k.Slow), slices.Clone(k.Refused)
	return s, k
}

// Load takes up what Save has returned, in place of all that there was. What cannot be
// read, or is of another version, is an error, and changes nothing.
func (h *History) Load(blob []byte) error {
	_, packed, ok := bytes.Cut(blob, []byte("\n"))
	if !ok {
		return errors.New("the saved history is not one")
	}
	var s saved
	var k kept
	if err := gob.NewDecoder(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxSaved)).Decode(&s); err != nil {
		return fmt.Errorf("the saved history can not be read: %w", err)
	}
	if err := json.Unmarshal(s.Kept, &k); err != nil {
		return fmt.Errorf("the saved history can not be read: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.fits(&s) || slices.ContainsFunc(slices.Concat(k.Slow, k.Refused), func(one Kept) bool { return one.Message == nil }) {
		return errors.New("the saved history is of another version")
	}
	h.rings, h.milters, h.kept = s.Rings, s.Milters, k
	if h.milters == nil {
		h.milters = map[string]*milter{}
	}
	h.kept.Slow = h.kept.Slow[:min(len(k.Slow), keptSlow)]
	h.kept.Refused = h.kept.Refused[:min(len(k.Refused), keptRefused)]
	h.advance()
	return nil
}

// fits reports whether what was saved has the rings that there are now.
func (h *History) fits(s *saved) bool {
	if len(s.Milters) > MaxMilters {
		return false
	}
	for i := range h.rings {
		n := len(h.rings[i].Slots)
		if s.Rings[i].Seconds != h.rings[i].Seconds || len(s.Rings[i].Slots) != n || s.Rings[i].Last < 0 {
			return false
		}
		for m := range maps.Values(s.Milters) {
			if m == nil || len(m.Cells[i]) != n {
				return false
			}
		}
	}
	return true
}
