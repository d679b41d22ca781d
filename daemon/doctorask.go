package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/builtin/dns"
	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
	"github.com/milterkit/sdk/internal/socket"
)

// knockTime bounds the process that connects as another user.
const knockTime = 15 * time.Second

// askName is the command that doctor starts.
const askName = "doctor-ask"

// discard is a log for what is told otherwise.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// knock asks who answers at a socket, as the mail server's user. Only root can be
// that; others ask as they are where the way is open to all, which the modes have told.
func knock(who doctor.Who, chroot string, at socket.Addr) doctor.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), knockTime)
	defer cancel()
	if os.Geteuid() != 0 {
		a := doctor.Ask(ctx, at, doctor.FullOffer)
		if a.Denied { // to us; the modes are the mail server's
			return doctor.Answer{}
		}
		return a
	}
	groups := make([]string, len(who.Groups))
	for i, g := range who.Groups {
		groups[i] = strconv.Itoa(g)
	}
	if at.Network == "unix" && chroot != "" {
		at.Addr = strings.TrimPrefix(at.Addr, strings.TrimSuffix(chroot, "/"))
	}
	self, err := os.Executable()
	if err != nil {
		return doctor.Answer{Error: err.Error()}
	}
	out, err := exec.CommandContext(ctx, self, askName, "--uid", strconv.Itoa(who.UID), "--groups", strings.Join(groups, ","), "--chroot", chroot, at.String()).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return doctor.Answer{Error: err.Error()}
	}
	a, err := doctor.ParseAnswer(out)
	if err != nil {
		return doctor.Answer{Error: err.Error()}
	}
	return a
}

// newDoctorAskCommand is what doctor starts to connect as another user, which is for
// good.
func newDoctorAskCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     askName + " SOCKET",
		Short:   "Ask a milter as another user",
		Long:    "This is for doctor, which starts it as root.",
		Example: "  milterkit doctor",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
	}
	uid := c.Flags().Int("uid", -1, "become the user `UID`")
	groups := c.Flags().IntSlice("groups", nil, "with these groups, the first of which is its own")
	chroot := c.Flags().String("chroot", "", "in the folder `DIR`")
	c.RunE = func(c *cobra.Command, args []string) error {
		at, err := socket.Parse(args[0])
		if err != nil {
			return usage("%w", err)
		}
		if *uid < 0 || len(*groups) == 0 {
			return usage("there is neither --uid nor --groups")
		}
		if *chroot != "" {
			if err := errors.Join(syscall.Chroot(*chroot), syscall.Chdir("/")); err != nil {
				return fmt.Errorf("%s: %w", *chroot, err)
			}
		}
		if *uid != 0 {
			a := account{name: strconv.Itoa(*uid), uid: *uid, gid: (*groups)[0], groups: *groups}
			if err := a.become(); err != nil {
				return err
			}
		}
		_, err = io.WriteString(c.OutOrStdout(), doctor.Ask(c.Context(), at, doctor.FullOffer).Text()+"\n")
		return err
	}
	return c
}

// deniedToDaemon asks the daemon, where one runs, to which milters it may not connect,
// and returns what it says of each.
func deniedToDaemon(ctx context.Context, c *config.Config) map[string]string {
	asker, err := newStatusAsker(c)
	if err != nil {
		return nil
	}
	text, err := asker.ask(ctx)
	s := new(statuspage.Status)
	if err != nil || json.Unmarshal(text, s) != nil {
		return nil
	}
	all := map[string]string{}
	for _, m := range s.Milters {
		if m.State == statuspage.StateDown && strings.Contains(m.Why, syscall.EACCES.Error()) {
			all[m.Name] = m.Why
		}
	}
	return all
}

// askNatives asks what native children ask, and their name servers.
func askNatives(ctx context.Context, r *doctor.Report, c *config.Config, probes []probe) {
	var natives []probe
	for _, p := range probes {
		if p.where == "" {
			natives = append(natives, p)
		}
	}
	for i, err := range askAll(ctx, natives) {
		r.Asked(c, natives[i].name, err)
	}
	for _, s := range doctor.NameServers(c) {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		resolver := &dns.Cache{Logger: discard()} // the report has it
		if s.Addr.IsValid() {
			resolver.Resolver = dns.Server(s.Addr)
		}
		_, err := resolver.LookupTXT(ctx, "example.org")
		cancel()
		if err != nil && dns.NotFound(err) {
			err = nil
		}
		r.NameServer(c, s, err)
	}
}
