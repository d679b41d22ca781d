package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
)

func newReloadCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have the running daemon load its configuration again",
		Long: `Have the running daemon load its configuration again, with all that it names:
keys, lists, the milters that detect finds. All of it is checked first; where
anything is wrong the daemon goes on with what it has. Sessions under way end as
they began, new ones have what is new. What has changed is printed.

The daemon is asked over the unix socket that status in [server] names, by root
or the daemon's own user. Without one, send it SIGHUP and look into the log.

Exit status: 0 when it is loaded; 1 when the daemon does not run or refuses; 78
when the configuration is wrong.`,
		Example: "  milterkit reload --config /etc/milterkit/milterkit.toml",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := all.load(*file)
		if err != nil && (conf == nil || unixSocket(conf.Server.Status.V) == "") {
			return err // which daemon to ask is not known
		}
		// Also of a wrong file, so that the daemon tells of it wherever it tells how it is.
		refused := command(c, conf, "/reload", "SIGHUP")
		if err != nil && !errors.As(refused, new(refusedConfig)) {
			return err
		}
		return refused
	}
	return c
}

// refusedConfig is why the daemon does not take a configuration.
type refusedConfig struct{ error }

// ExitStatus is that of the command.
func (refusedConfig) ExitStatus() int { return exitConfig }

// command has the daemon of a configuration do something, and prints its answer.
func command(c *cobra.Command, conf *config.Config, path, signal string) error {
	body, err := post(c.Context(), conf.Server.Status.V, path, signal)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(c.OutOrStdout(), body)
	return err
}

// unixSocket returns the first unix socket at which the daemon tells how it is, or "".
func unixSocket(status []config.Socket) string {
	for _, s := range status {
		if s.Network == "unix" {
			return s.Addr
		}
	}
	return ""
}

// post asks the daemon at the first unix socket of its status.
func post(ctx context.Context, status []config.Socket, path, signal string) (body string, err error) {
	at := unixSocket(status)
	if at == "" {
		return "", fmt.Errorf("the daemon takes this over a unix socket, and the configuration names none; add to [server] "+
			`status = ["unix:/run/milterkit/status.sock"] and restart it, or send it %s`, signal)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", at)
	}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://milterkit"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(r)
	if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
		return "", fmt.Errorf("no daemon answers on unix:%s: %w; does it run, and is that its status socket since its start? %s does without", at, socket.Reason(err), signal)
	}
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	word := string(bytes.TrimSpace(text))
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode == http.StatusOK:
		return string(text), nil
	case resp.StatusCode == http.StatusUnprocessableEntity:
		return "", refusedConfig{fmt.Errorf("the daemon goes on as it was, since the configuration is wrong:\n%s", word)}
	case resp.StatusCode == http.StatusNotFound:
		return "", fmt.Errorf("what answers on unix:%s is no milterkit that knows of %s", at, strings.TrimPrefix(path, "/"))
	}
	return "", fmt.Errorf("the daemon goes on as it was: %s", word)
}
