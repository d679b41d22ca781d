package daemon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/listen"
	"github.com/milterkit/sdk/milterkit"
)

// openFirst opens the sockets of a configuration, or takes those that were opened
// for this process.
func (d *daemon) openFirst(c *config.Config) error {
	own := slices.DeleteFunc(slices.Concat(c.Server.Listen.V, c.Server.Status.V), d.before.Has)
	owner, warning, fault := socketOwner(c, own)
	if fault != nil {
		return fault
	}
	if warning != "" {
		d.notes = append(d.notes, warning)
	}
	var err error
	if d.listeners, err = listen.Open(c.Server.Listen.V, owner, d.before); err != nil {
		return err
	}
	if d.statusAt, err = listen.Open(c.Server.Status.V, owner, d.before); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	for _, name := range d.before.Rest() {
		d.log.Warn("systemd has passed a socket that listen does not name", "socket", "systemd:"+name)
	}
	return nil
}

// opened is what a new configuration has opened that was not open.
type opened struct{ listeners, statusAt []*listen.Listener }

// openNew opens the sockets of a configuration that are not open yet, all or none.
func (d *daemon) openNew(c *config.Config) (opened, error) {
	listeners, statusAt := missing(c.Server.Listen.V, d.listeners), missing(c.Server.Status.V, d.statusAt)
	all := slices.Concat(listeners, statusAt)
	for _, s := range all {
		if s.Network == "systemd" {
			return opened{}, fmt.Errorf("%s: a socket of systemd's can only be had at the start of the service", s)
		}
	}
	owner, warning, fault := socketOwner(c, all)
	if fault != nil {
		return opened{}, fault
	}
	if warning != "" {
		d.log.Warn(warning)
	}
	var o opened
	var err error
	if o.listeners, err = listen.Open(listeners, owner, new(listen.Inherited)); err != nil {
		return opened{}, err
	}
	if o.statusAt, err = listen.Open(statusAt, owner, new(listen.Inherited)); err != nil {
		for _, ln := range o.listeners {
			ln.Close()
		}
		return opened{}, fmt.Errorf("status: %w", err)
	}
	return o, nil
}

// missing returns those of sockets that are not open, or whose file is gone.
func missing(sockets []config.Socket, open []*listen.Listener) []config.Socket {
	return slices.DeleteFunc(slices.Clone(sockets), func(s config.Socket) bool {
		return slices.ContainsFunc(open, func(ln *listen.Listener) bool { return ln.Socket == s && !ln.Lost() })
	})
}

// useNew serves what was opened, and closes what the configuration does not have.
func (d *daemon) useNew(c *config.Config, o opened) {
	d.serveAll(o.listeners)
	d.serveStatus(o.statusAt)
	d.listeners = d.closeGone(append(d.listeners, o.listeners...), c.Server.Listen.V)
	d.statusAt = d.closeGone(append(d.statusAt, o.statusAt...), c.Server.Status.V)
}

// closeGone closes those that are not among sockets, or that nobody finds any more, and
// returns the others. Sessions that have begun there go on.
func (d *daemon) closeGone(open []*listen.Listener, sockets []config.Socket) (stay []*listen.Listener) {
	for _, ln := range open {
		if slices.Contains(sockets, ln.Socket) && !ln.Lost() {
			stay = append(stay, ln)
			continue
		}
		d.closeListener(ln)
	}
	return stay
}

func (d *daemon) closeListener(ln *listen.Listener) {
	if err := ln.Close(); err != nil && !errors.Is(err, os.ErrPermission) {
		// The directory is often not ours after root's rights are
		// given up; the next start replaces the socket.
		d.log.Warn("a socket was not closed well", "socket", ln.Socket.String(), "error", err)
	}
}

// serveAll serves MTAs that connect to these sockets, until they are closed.
func (d *daemon) serveAll(lns []*listen.Listener) {
	for _, ln := range lns {
		d.accepting.Add(1)
		d.work.Go(func() {
			defer d.accepting.Done()
			d.fail(ln, "", d.server.Serve(ln))
		})
	}
}

// serveStatus answers questions over these sockets, until they are closed.
func (d *daemon) serveStatus(lns []*listen.Listener) {
	for _, ln := range lns {
		d.work.Go(func() { d.fail(ln, "status: ", d.status.serve(ln)) })
	}
}

// fail has the daemon end because of a socket, unless that was closed on purpose.
func (d *daemon) fail(ln *listen.Listener, what string, err error) {
	if err == nil || errors.Is(err, milterkit.ErrServerClosed) || ln.Closed() {
		return
	}
	select {
	case d.failed <- fmt.Errorf("%s%s: %w", what, ln.Socket, err):
	default: // it ends already
	}
}

func listening(lns []*listen.Listener) string {
	names := make([]string, len(lns))
	for i, ln := range lns {
		names[i] = ln.Socket.String()
	}
	return strings.Join(names, ", ")
}
