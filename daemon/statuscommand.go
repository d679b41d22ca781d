package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/doctor"
	"github.com/milterkit/sdk/daemon/internal/screen"
	"github.com/milterkit/sdk/daemon/internal/statuspage"
	"github.com/milterkit/sdk/internal/socket"
)

func newStatusCommand(all natives) *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the running daemon is",
		Long: `Show how the running daemon is, on one screen: what became of the messages of
the last minute, hour and day, the state of each milter and how long it takes,
memory and sessions, the last time that the configuration was loaded, and the
messages that were refused last. A browser shows the same, and more, at the
address that status in [server] names. The daemon is asked at that address.

With --watch it is shown anew every two seconds, until q or Ctrl-C.

Exit status: 0 when all is well; 1 when a milter is down or failing, the
configuration could not be loaded again, or the daemon does not answer; 78 when
the configuration is wrong.`,
		Example: "  milterkit status\n  milterkit status --watch\n  milterkit status --json | jq '.milters[] | select(.state != \"up\")'",
		Args:    onlyFlags,
	}
	file := configFlag(c)
	watch := c.Flags().BoolP("watch", "w", false, "show it anew every two seconds")
	asJSON := c.Flags().Bool("json", false, "print JSON: what GET /status.json answers")
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := all.load(*file)
		if conf == nil || err != nil && len(conf.Server.Status.V) == 0 {
			return err // else the daemon may run with what the file was before
		}
		asker, err := newStatusAsker(conf)
		if err != nil {
			return err
		}
		v := &statusView{ask: asker.ask, out: c.OutOrStdout(), json: *asJSON}
		if *watch {
			return v.watch(c.Context(), c.InOrStdin())
		}
		return v.once(c.Context())
	}
	return c
}

// A statusAsker asks a daemon how it is.
type statusAsker struct{ at []config.Socket }

func newStatusAsker(c *config.Config) (*statusAsker, error) {
	if len(c.Server.Status.V) == 0 {
		return nil, fmt.Errorf(`%s does not say where the daemon tells how it is; add status = "127.0.0.1:8891" or status = "unix:/run/milterkit/status.sock" to [server] and restart it`, c.File)
	}
	return &statusAsker{c.Server.Status.V}, nil
}

// maxStatus is more than any status has.
const maxStatus = 16 << 20

// ask returns the JSON of the first address that answers.
func (a *statusAsker) ask(ctx context.Context) ([]byte, error) {
	var errs []error
	for _, s := range a.at {
		text, err := askAt(ctx, s)
		if err == nil {
			return text, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func askAt(ctx context.Context, at config.Socket) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, at.Network, dialable(at))
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/status.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, unanswered(at, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	switch {
	case err != nil:
		return nil, unanswered(at, err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("what answers at %s is no milterkit, or one of an older version", at)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s", at, strings.TrimSpace(string(text)))
	}
	return text, nil
}

// dialable is an address to dial: where the daemon listens at all addresses of the
// machine, its own.
func dialable(at config.Socket) string {
	host, port, err := net.SplitHostPort(at.Addr)
	if at.Network == "unix" || err != nil {
		return at.Addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return at.Addr
}

// unanswered says what to do where the daemon does not answer.
func unanswered(at config.Socket, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		why := ""
		if at.Network == "unix" {
			why = doctor.Denied(at.Addr)
		}
		if why == "" {
			why = "run this as root, or as a member of the socket's group"
		}
		return fmt.Errorf("%s: permission denied; %s", at, why)
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no daemon answers at %s: %w; does it run, and with this configuration?", at, socket.Reason(err))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %v", at, statusPatience)
	}
	return fmt.Errorf("%s: %w", at, err)
}

// errNotWell has the exit status say what the screen has said.
var errNotWell = errors.New("not all is well")

// A statusView shows what a daemon says.
type statusView struct {
	ask  func(context.Context) ([]byte, error)
	out  io.Writer
	json bool
}

// once shows it once.
func (v *statusView) once(ctx context.Context) error {
	s, err := v.show(ctx, v.out, v.options())
	if err == nil && troubled(s) {
		err = errNotWell
	}
	return err
}

// show asks, and writes the answer.
func (v *statusView) show(ctx context.Context, w io.Writer, o screen.Options) (*statuspage.Status, error) {
	text, err := v.ask(ctx)
	if err != nil {
		return nil, err
	}
	s := new(statuspage.Status)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("what the daemon says is not understood: %w; is it of another version?", err)
	}
	if v.json {
		_, err = fmt.Fprintf(w, "%s\n", text)
		return s, err
	}
	return s, screen.Write(w, s, o)
}

// troubled reports whether somebody should look.
func troubled(s *statuspage.Status) bool {
	return s.Refused != nil || slices.ContainsFunc(s.Milters, func(m statuspage.Milter) bool {
		return m.State == statuspage.StateDown || m.State == statuspage.StateFailing
	})
}

// options are what the output can show.
func (v *statusView) options() screen.Options {
	width, _ := terminalSize(v.out)
	locale := strings.ToUpper(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return screen.Options{Width: width, Color: bool(newPaint(v.out, "auto")), Plain: !strings.Contains(locale, "UTF")}
}
