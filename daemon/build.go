package daemon

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/when"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// build makes the server that a configuration describes, and returns the
// children of it that are milters on sockets.
func (all natives) build(c *config.Config, log *slog.Logger) (*milterkit.Server, []*remote.Milter, error) {
	var slots []milterkit.Slot
	var remotes []*remote.Milter
	grouped := false // the group that the milter at hand may join has a slot
	for _, m := range c.Milters {
		// A milter that is not enabled still keeps its place, so that to turn
		// off the first of a group does not add the rest to the group before.
		together := m.Together.V && grouped
		grouped = together || m.Enabled.V
		if !m.Enabled.V {
			continue
		}
		condition, err := conditionOf(m)
		if err != nil {
			return nil, nil, c.Fault("when", m.When.From, err)
		}
		slot := milterkit.Slot{
			When:           condition,
			CommandTimeout: m.CommandTimeout.V,
			ContentTimeout: m.ContentTimeout.V,
			DefaultAction:  m.DefaultAction.V,
			Shadow:         m.Shadow.V,
			Together:       together,
		}
		if m.Use.V != "" {
			if slot.Child, err = all.child(c, &m); err != nil {
				return nil, nil, err
			}
		} else {
			child := &remote.Milter{
				Label:          m.Name.V,
				Network:        m.Socket.V.Network,
				Addr:           m.Socket.V.Addr,
				ConnectTimeout: m.ConnectTimeout.V,
				Lockstep:       !m.Pipeline.V,
				Logger:         log,
			}
			remotes = append(remotes, child)
			slot.Child = child
		}
		slots = append(slots, slot)
	}
	dispatcher, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.File, err)
	}
	s := &c.Server
	dispatcher.StageTimeout = s.StageTimeout.V
	dispatcher.MessageTimeout = s.MessageTimeout.V
	dispatcher.Logger = log
	return &milterkit.Server{
		Dispatcher: dispatcher,
		MaxMemory:  int64(s.MaxMemory.V),
		TempDir:    s.TempDir.V,
		MaxHeader:  int(s.MaxHeader.V),
		Logger:     log,
	}, remotes, nil
}

// conditionOf returns the condition under which a milter takes part. The loader
// has compiled it once, to tell what is wrong with it and where.
func conditionOf(m config.Milter) (milterkit.Condition, error) {
	if m.When.V == "" {
		return milterkit.Condition{}, nil
	}
	condition, errs := when.Compile(m.When.V)
	if len(errs) > 0 {
		return milterkit.Condition{}, errors.New(errs[0].Message)
	}
	return condition, nil
}
