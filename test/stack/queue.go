package stack

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fate is what became of a message that an MTA had taken.
type Fate string

// The fates of a message.
const (
	Delivered Fate = "delivered"
	Discarded Fate = "discarded"
	Held      Fate = "held" // in the hold queue, where a quarantine leads
)

// Copy is a message as one recipient got it.
type Copy struct {
	To      string // the recipient
	Params  string // the ESMTP parameters it was sent with, where it was sent on
	Content []byte // with the lines' ends as Unix has them
}

// Await waits until nothing more happens to a message, by its queue id. It
// returns the copies that were delivered, ordered by recipient; of a message
// that is held, one for all, with its sender and recipients in To.
func (p *Postfix) Await(ctx context.Context, id string) (Fate, []Copy, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		switch where := p.queued(id); where {
		case "":
			copies, err := p.box.copies(id)
			if err == nil && len(copies) == 0 {
				return Discarded, nil, nil
			}
			return Delivered, copies, err
		case "hold":
			held, err := p.held(ctx, id)
			return Held, held, err
		case "deferred", "corrupt":
			return "", nil, fmt.Errorf("stack: message %s could not be delivered:\n%s", id, p.LogOf(id))
		}
		select {
		case <-ctx.Done():
			return "", nil, fmt.Errorf("stack: message %s is still under way: %w\n%s", id, ctx.Err(), p.LogOf(id))
		case <-tick.C:
		}
	}
}

// queued is the queue that a message is in, "" when it is in none. Messages
// move along the list, so looking in its order overlooks none.
func (p *Postfix) queued(id string) string {
	for _, queue := range []string{"incoming", "active", "deferred", "hold", "corrupt"} {
		pattern := p.Root.Path("postfix", "queue", queue, id)
		if queue == "deferred" { // spread over folders
			pattern = p.Root.Path("postfix", "queue", queue, "*", id)
		}
		if files, err := filepath.Glob(pattern); err == nil && len(files) > 0 {
			return queue
		}
	}
	return ""
}

// held reads a message in the hold queue.
func (p *Postfix) held(ctx context.Context, id string) ([]Copy, error) {
	postcat := func(what string) ([]byte, error) {
		path, err := program("postcat")
		if err != nil {
			return nil, err
		}
		return exec.CommandContext(ctx, path, "-c", p.Root.Path("postfix", "etc"), what, "-q", id).Output()
	}
	content, err := postcat("-bh")
	if err != nil {
		return nil, fmt.Errorf("stack: postcat: %w", err)
	}
	records, err := postcat("-e")
	if err != nil {
		return nil, fmt.Errorf("stack: postcat: %w", err)
	}
	var envelope []string
	for line := range strings.Lines(string(records)) {
		name, value, _ := strings.Cut(line, ": ")
		if name == "sender" || name == "recipient" {
			envelope = append(envelope, name+" "+strings.TrimSpace(value))
		}
	}
	slices.Sort(envelope)
	return []Copy{{To: strings.Join(envelope, ", "), Content: content}}, nil
}

// maildir is the folder with all that was delivered.
type maildir struct {
	dir string

	mu   sync.Mutex
	seen map[string]bool     // file names
	byID map[string][]string // file names by queue id
}

var (
	deliveredTo = regexp.MustCompile(`(?m)^Delivered-To: (.*)$`)
	// Postfix's own Received, which no filter can get at: by SMTP, by the
	// sendmail command, or of its own making.
	receivedID = regexp.MustCompile(`(?m)^(?:\t|Received: )by mx\.example\.test \(Postfix[^)]*\)(?: with \w+)?\s+id ([0-9A-Za-z]+)`)
)

// copies finds what was delivered of a message.
func (m *maildir) copies(id string) ([]Copy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.index(); err != nil {
		return nil, err
	}
	var copies []Copy
	for _, name := range m.byID[id] {
		b, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			return nil, err
		}
		to := deliveredTo.FindSubmatch(b)
		if to == nil {
			return nil, fmt.Errorf("stack: %s has no Delivered-To", name)
		}
		copies = append(copies, Copy{To: string(to[1]), Content: b})
	}
	sortCopies(copies)
	return copies, nil
}

// sortCopies orders copies by recipient.
func sortCopies(copies []Copy) {
	slices.SortFunc(copies, func(a, b Copy) int {
		return cmp.Or(strings.Compare(a.To, b.To), bytes.Compare(a.Content, b.Content))
	})
}

// index notes the queue ids of the files that have come since the last time.
func (m *maildir) index() error {
	if m.seen == nil {
		m.seen, m.byID = make(map[string]bool), make(map[string][]string)
	}
	entries, err := os.ReadDir(m.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing was delivered yet
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if m.seen[e.Name()] {
			continue
		}
		id, err := queueID(filepath.Join(m.dir, e.Name()))
		if err != nil {
			return err
		}
		m.seen[e.Name()] = true
		m.byID[id] = append(m.byID[id], e.Name())
	}
	return nil
}

// queueID is the queue id of a delivered message, from Postfix's Received.
func queueID(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	header, _, _ := bytes.Cut(b, []byte("\n\n"))
	id := receivedID.FindSubmatch(header)
	if id == nil {
		return "", fmt.Errorf("stack: %s has no Received of Postfix's", file)
	}
	return string(id[1]), nil
}
