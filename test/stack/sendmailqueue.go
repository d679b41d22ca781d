package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// sentID finds the queue id in Sendmail's own Received.
var sentID = regexp.MustCompile(`(?m)^\tby sm\.example\.test \([^)]*\) with E?SMTPS?A? id ([0-9A-Za-z]+)`)

// Await waits until nothing more happens to a message, by its queue id. It
// returns what [Postfix.Await] does.
func (s *Sendmail) Await(ctx context.Context, id string) (Fate, []Copy, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for s.exists("qf" + id) {
		select {
		case <-ctx.Done():
			return "", nil, fmt.Errorf("stack: message %s is still under way: %w\n%s", id, ctx.Err(), s.LogOf(id))
		case <-tick.C:
		}
	}
	if s.exists("hf" + id) {
		held, err := s.held(id)
		return Held, []Copy{held}, err
	}
	copies := s.sink.copies(id)
	if len(copies) == 0 {
		return Discarded, nil, nil
	}
	sortCopies(copies)
	return Delivered, copies, nil
}

// exists reports whether the queue has a file.
func (s *Sendmail) exists(name string) bool {
	_, err := os.Stat(s.path("queue", name))
	return !errors.Is(err, fs.ErrNotExist)
}

// held reads a quarantined message: its file of control lines has the envelope,
// the reason and the header, another one the body.
// Source: Sendmail's operations guide, appendix B.
func (s *Sendmail) held(id string) (Copy, error) {
	control, err := os.ReadFile(s.path("queue", "hf"+id))
	if err != nil {
		return Copy{}, err
	}
	body, err := os.ReadFile(s.path("queue", "df"+id))
	if err != nil {
		return Copy{}, err
	}
	var envelope []string
	var header strings.Builder
	inHeader := false // in a field of several lines
	for line := range strings.Lines(string(control)) {
		switch {
		case inHeader && (line[0] == ' ' || line[0] == '\t'):
			header.WriteString(line)
			continue
		case strings.HasPrefix(line, "H?"):
			_, field, _ := strings.Cut(line[2:], "?")
			header.WriteString(field)
		case strings.HasPrefix(line, "S"):
			envelope = append(envelope, "sender "+strings.TrimSpace(line[1:]))
		case strings.HasPrefix(line, "R"):
			_, rcpt, _ := strings.Cut(line, ":")
			envelope = append(envelope, "recipient "+strings.TrimSpace(rcpt))
		case strings.HasPrefix(line, "q"):
			envelope = append(envelope, "reason "+strings.TrimSpace(line[1:]))
		}
		inHeader = line[0] == 'H'
	}
	slices.Sort(envelope)
	return Copy{To: strings.Join(envelope, ", "), Content: []byte(header.String() + "\n" + string(body))}, nil
}
