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
// children of it that can tell whether they are there, also with an error.
func (all natives) build(c *config.Config, log *slog.Logger) (*milterkit.Server, []probe, error) {
	server := new(milterkit.Server)
	dispatcher, probes, err := all.chain(c, log, func() int { return server.Stats().Sessions })
	if err != nil {
		return nil, probes, err
	}
	server.Dispatcher = dispatcher
	server.MaxMemory = int64(c.Server.MaxMemory.V)
	server.TempDir = c.Server.TempDir.V
	server.MaxHeader = int(c.Server.MaxHeader.V)
	server.Logger = log
	return server, probes, nil
}

// chain is build without the server, for one that runs already: sessions says how many
// sessions that has.
func (all natives) chain(c *config.Config, log *slog.Logger, sessions func() int) (*milterkit.Dispatcher, []probe, error) {
	children, faults := all.children(c)
	for i := range c.Milters {
		if m := &c.Milters[i]; m.Enabled.V && m.Use.V == "" {
			children[i] = remoteOf(m, log)
		}
	}
	probes := probesOf(children)
	if len(faults) > 0 {
		return nil, probes, faults
	}
	dispatcher, err := dispatcherOf(c, children, log, sessions)
	if err != nil {
		closeAll(children)
	}
	return dispatcher, probes, err
}

func remoteOf(m *config.Milter, log *slog.Logger) *remote.Milter {
	return &remote.Milter{
		Label:          m.Name.V,
		Network:        m.Socket.V.Network,
		Addr:           m.Socket.V.Addr,
		ConnectTimeout: m.ConnectTimeout.V,
		Lockstep:       !m.Pipeline.V,
		Logger:         log,
	}
}

// dispatcherOf makes the dispatcher of a configuration whose milters are these
// children, each in its place.
func dispatcherOf(c *config.Config, children []milterkit.Child, log *slog.Logger, sessions func() int) (*milterkit.Dispatcher, error) {
	known := when.Env{Sessions: sessions, Stress: stressFrom(postfixFolders, log)}
	var slots []milterkit.Slot
	grouped := false // the group that the milter at hand may join has a slot
	for i, m := range c.Milters {
		// A milter that is not enabled still keeps its place, so that to turn
		// off the first of a group does not add the rest to the group before.
		together := m.Together.V && grouped
		grouped = together || m.Enabled.V
		if !m.Enabled.V {
			continue
		}
		condition, err := compile(&known, m.When.V, c.Before(i))
		if err != nil {
			return nil, c.Fault("when", m.When.From, err)
		}
		if r, ok := children[i].(*remote.Milter); ok {
			if r.Macros, err = macrosOf(&known, m); err != nil {
				return nil, c.Fault("macros", m.From, err)
			}
		}
		slots = append(slots, milterkit.Slot{
			Child:          children[i],
			When:           inShare(m.ShadowShare.V, condition),
			CommandTimeout: m.CommandTimeout.V,
			ContentTimeout: m.ContentTimeout.V,
			DefaultAction:  m.DefaultAction.V,
			Shadow:         m.Shadow.V,
			Together:       together,
		})
	}
	dispatcher, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.File, err)
	}
	s := &c.Server
	dispatcher.StageTimeout = s.StageTimeout.V
	dispatcher.MessageTimeout = s.MessageTimeout.V
	dispatcher.Logger = log
	return dispatcher, nil
}

// compile returns the condition of a text. The loader has compiled it once, to tell
// what is wrong with it and where; a file that it names may be another's to read than
// the one's who loaded it.
func compile(known *when.Env, text string, before []when.Milter) (milterkit.Condition, error) {
	if text == "" {
		return milterkit.Condition{}, nil
	}
	condition, errs := known.Compile(text, before)
	if len(errs) > 0 {
		return milterkit.Condition{}, errors.New(errs[0].Message)
	}
	return condition, nil
}
