package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// over is a client whose requests all go to one address.
func over(network, addr string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
}

// asked returns what a request is answered.
func asked(t *testing.T, c *http.Client, method, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://milterkit"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// Each address answers the same, but what changes something is taken over a unix
// socket only.
func TestCommandsAreTakenOverUnixSocketsOnly(t *testing.T) {
	s := newStatusServer(slog.New(slog.DiscardHandler))
	defer s.close()
	s.handleCommand("POST /do", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "done") })
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		go s.serve(ln)
		c := over(network, ln.Addr().String())
		if status, body := asked(t, c, "GET", "/healthz"); status != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", network, status, body)
		}
		status, body := asked(t, c, "POST", "/do")
		if network == "unix" && (status != 200 || body != "done\n") || network == "tcp" && (status != 403 || !strings.Contains(body, "unix socket only")) {
			t.Errorf("%s: %d %q", network, status, body)
		}
		for _, browsers := range []string{"Origin", "Sec-Fetch-Site"} {
			r, err := http.NewRequest("POST", "http://localhost/do", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(browsers, "null")
			if resp, err := c.Do(r); err != nil || resp.StatusCode != 403 {
				t.Errorf("%s, from a browser: %v, %v", network, resp, err)
			}
		}
		if status, _ := asked(t, c, "GET", "/do"); status != 405 {
			t.Errorf("%s: %d", network, status)
		}
	}
}

// Who opens many connections and says nothing keeps those from asking who use the same
// address, for some seconds, and nobody else; what is too much is closed at once.
func TestConnectionsOfStatusAreBounded(t *testing.T) {
	s := newStatusServer(slog.New(slog.DiscardHandler))
	defer s.close()
	at := map[string]net.Listener{}
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		at[network] = ln
		go s.serve(ln)
	}
	var conns []net.Conn
	for range maxAsking + 5 {
		conn, err := net.Dial("tcp", at["tcp"].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	for _, conn := range conns[maxAsking:] {
		conn.SetReadDeadline(time.Now().Add(statusPatience / 2))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection too many: %v", err)
		}
	}
	if status, _ := asked(t, over("unix", at["unix"].Addr().String()), "GET", "/healthz"); status != 200 {
		t.Errorf("over the socket: %d", status)
	}
	for _, conn := range conns {
		conn.Close()
	}
	for s.open[1].Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	if status, _ := asked(t, over("tcp", at["tcp"].Addr().String()), "GET", "/healthz"); status != 200 {
		t.Errorf("when they are gone: %d", status)
	}
}
