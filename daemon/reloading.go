package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/listen"
)

// atStart are the keys of [server] that a running process cannot follow.
var atStart = []string{"user", "max_sessions", "max_memory", "temp_dir", "max_header", "log", "log_format", "journal", "journal_size"}

// ofNewSockets are those that count for sockets when they are opened.
var ofNewSockets = []string{"socket_mode", "socket_group"}

// reload loads the configuration again. Where anything is wrong with it, the one in
// effect stays. It returns what has changed, in a line or more.
func (d *daemon) reload() (changes string, err error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.leaving != "" {
		return "", errors.New(d.leaving)
	}
	d.tell(listen.Reloading())
	defer d.tell("READY=1")
	old := d.now()
	next, err := d.load(old)
	if err == nil {
		changes, err = d.swap(old, next)
	}
	if err != nil {
		d.refuse(old, err)
	}
	return changes, err
}

// refuse says what is wrong with a configuration.
func (d *daemon) refuse(old *generation, err error) {
	d.refused.Store(&failedReload{time.Now(), err.Error()})
	for line := range strings.Lines(err.Error()) {
		d.log.Error("the configuration can not be loaded again", "error", strings.TrimSpace(line))
	}
	d.log.Error("milterkit goes on with the configuration that it has", "generation", old.Number, "loaded", old.Loaded.Format(time.RFC3339))
}

// load reads and checks the configuration, and makes all that it names.
func (d *daemon) load(old *generation) (*generation, error) {
	c, err := d.natives.load(old.config.File)
	var faults config.Errors
	switch {
	case err == nil:
	case c == nil || !errors.As(err, &faults):
		return nil, err
	default:
		faults = append(faults, d.natives.childFaults(c)...)
		faults.Sort()
		return nil, faults
	}
	if c.Server.User.V != old.config.Server.User.V {
		if _, err := lookupAccount(c.Server.User.V); err != nil {
			faults = append(faults, c.Fault("user", c.Server.User.From, err)...)
		}
	}
	faults = append(faults, checkTempDir(c)...)
	faults = append(faults, old.config.LostTo(c)...)
	dispatcher, probes, err := d.natives.chain(c, d.log, func() int { return d.server.Stats().Sessions })
	var more config.Errors
	if err != nil && !errors.As(err, &more) {
		return nil, err
	}
	if faults = append(faults, more...); len(faults) > 0 {
		if dispatcher != nil {
			closeChain(dispatcher)
		}
		faults.Sort()
		return nil, faults
	}
	return &generation{Number: old.Number + 1, Loaded: time.Now(), config: c, dispatcher: dispatcher, probes: probes}, nil
}

// swap has new sessions take the next generation.
func (d *daemon) swap(old, next *generation) (changes string, err error) {
	o, err := d.openNew(next.config)
	if err != nil {
		closeChain(next.dispatcher)
		return "", err
	}
	silent := d.meet(next)
	d.observe(next)
	ended, end := d.server.Replace(next.dispatcher)
	d.begin(next)
	d.useNew(next.config, o)
	d.work.Go(func() { d.retire(old, ended, end) })

	ch := old.config.ChangesTo(next.config)
	what := ch.String()
	if now := without(ch.Server, slices.Concat(atStart, ofNewSockets)); now != "" {
		what += "; in [server]: " + now
	}
	lines := []string{fmt.Sprintf("generation %d is in effect, %s", next.Number, what)}
	if late := those(ch.Server, atStart); late != "" {
		lines = append(lines, "these take effect at the next restart: "+late)
	}
	if late := those(ch.Server, ofNewSockets); late != "" {
		lines = append(lines, "these take effect for sockets that are opened from now on: "+late)
	}
	limit := d.server.MaxSessions
	if sessions, _ := room(descriptorLimit(), limit, descriptorsOf(next.probes)); sessions < limit {
		lines = append(lines, fmt.Sprintf("the descriptors have room for %d sessions with these milters, and %d are let in until the next restart", sessions, limit))
	}
	d.log.Info("the configuration was loaded again", "generation", next.Number, "milters", len(next.dispatcher.Slots()), "changes", what)
	for _, line := range lines[1:] {
		d.log.Warn(line)
	}
	for _, note := range advice(next.config) {
		d.log.Warn(note)
	}
	if len(silent) > 0 {
		lines = append(lines, "no answer yet from "+strings.Join(silent, ", ")+": the log says why")
	}
	return strings.Join(lines, "\n"), nil
}

// those are the keys that are among some, and without are the others.
func those(keys, some []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !slices.Contains(some, k) }), ", ")
}

func without(keys, some []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(some, k) }), ", ")
}

// retire waits until no session has a generation any more, for as long as
// drain_timeout, and closes its children.
func (d *daemon) retire(g *generation, ended <-chan struct{}, end func(context.Context) error) {
	s := &d.now().config.Server
	limit := time.NewTimer(s.DrainTimeout.V)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		d.log.Warn("sessions that began before the configuration was loaded again are ended", "generation", g.Number, "drain_timeout", s.DrainTimeout.V)
		ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownTimeout.V)
		defer cancel()
		if err := end(ctx); err != nil {
			d.log.Warn("messages under way were cut short; their senders will try again", "error", err)
		}
	}
	d.closeChildren(g)
	d.log.Info("no session has the configuration before any more", "generation", g.Number)
}

// answerReload is POST /reload: 200 with what has changed, 422 with what is wrong with
// the configuration, 409 with what else there is.
func (d *daemon) answerReload(w http.ResponseWriter, _ *http.Request) {
	changes, err := d.reload()
	switch {
	case err == nil:
		say(w, http.StatusOK, changes)
	case errors.As(err, new(config.Errors)):
		say(w, http.StatusUnprocessableEntity, err.Error())
	default:
		say(w, http.StatusConflict, err.Error())
	}
}
