package daemon

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// midMessage is a session with the daemon in dir that has begun a message.
func midMessage(t *testing.T, dir string) *miltertest.MTA {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := miltertest.Dial(ctx, "unix", filepath.Join(dir, "s"), miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	_, err = m.Connect("client.example", wire.FamilyInet, 25, "192.0.2.1")
	if err == nil {
		_, err = m.Mail("<a@example.org>")
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// child is a milter behind the daemon; it takes all messages.
func child(t *testing.T, path string) *miltertest.Filter {
	t.Helper()
	f := &miltertest.Filter{}
	if _, err := f.Start("unix", path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

const oneChild = "[[milter]]\nname = \"c\"\nsocket = \"DIR/child\"\n"

func TestAMessageUnderWayEndsWell(t *testing.T) {
	dir := publicDir(t)
	child(t, filepath.Join(dir, "child"))
	r := begin(t, program("serve", "--config", configFile(t, dir, "shutdown_timeout = \"60s\"\nstatus = \"unix:DIR/status\"\n"+oneChild)))
	m := midMessage(t, dir)
	r.Process.Signal(syscall.SIGTERM)
	if got := read(t, r.notify); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "status"))
	}, DisableKeepAlives: true}}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		resp, err := client.Get("http://milterkit" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s while a message is under way", path, resp.Status)
		}
	}
	if _, err := m.Rcpt("<b@example.org>"); err != nil {
		t.Error(err)
	}
	_, err := m.Data()
	if err == nil {
		_, err = m.Header("Subject", " x")
	}
	if err == nil {
		_, err = m.EOH()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, reply, err := m.EOM(); err != nil || reply.Refused() {
		t.Errorf("%v, %v", reply, err)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("%v\n%s", err, r.stderr.String())
	}
}

func TestAMessageUnderWayGetsNoMoreThanItsTime(t *testing.T) {
	dir := publicDir(t)
	child(t, filepath.Join(dir, "child"))
	r := begin(t, program("serve", "--config", configFile(t, dir, "shutdown_timeout = \"300ms\"\n"+oneChild)))
	midMessage(t, dir)
	start := time.Now()
	r.stop(t)
	if took := time.Since(start); took < 250*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	r.logs(t, "messages under way were cut short")
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	dir := publicDir(t)
	child(t, filepath.Join(dir, "child"))
	r := begin(t, program("serve", "--config", configFile(t, dir, "shutdown_timeout = \"1h\"\n"+oneChild)))
	midMessage(t, dir)
	r.Process.Signal(syscall.SIGINT)
	r.logs(t, "signal=interrupt")
	r.Process.Signal(syscall.SIGHUP) // which is none
	start := time.Now()
	r.stop(t)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAMilterThatDoesNotAnswerIsNamed(t *testing.T) {
	dir := publicDir(t)
	child(t, filepath.Join(dir, "child"))
	mute, err := net.Listen("unix", filepath.Join(dir, "mute")) // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	file := configFile(t, dir, oneChild+"[[milter]]\nname = \"gone\"\nsocket = \"DIR/gone\"\n"+
		"[[milter]]\nname = \"mute\"\nsocket = \"DIR/mute\"\n[[milter]]\nname = \"off\"\nsocket = \"DIR/off\"\nenabled = false\n")

	start := time.Now()
	status, stdout, _ := end(t, "check", "-c", file)
	if took := time.Since(start); status != exitOK || took > 10*time.Second {
		t.Errorf("status %d after %v", status, took)
	}
	lines := strings.Split(stdout, "\n")
	for i, want := range []string{
		"configuration is good: 3 milters, listening on unix:" + dir + "/s",
		"c answers on unix:" + dir + "/child",
		"warning: gone does not answer on unix:" + dir + "/gone: ",
		"warning: mute does not answer on unix:" + dir + "/mute: ",
	} {
		if i < len(lines) && !strings.HasPrefix(lines[len(lines)-5+i], want) {
			t.Errorf("want %q in\n%s", want, stdout)
		}
	}
	if _, stdout, _ = end(t, "check", "-c", file, "--no-connect"); strings.Contains(stdout, "answer") {
		t.Errorf("got\n%s", stdout)
	}

	start = time.Now()
	r := begin(t, program("serve", "-c", file))
	if took := time.Since(start); took > probeTime {
		t.Errorf("ready only after %v", took)
	}
	r.logs(t, "milter=gone socket=unix:"+dir+"/gone", "milter=mute socket=unix:"+dir+"/mute")
	if log := r.stderr.String(); strings.Contains(log, "milter=c ") || strings.Contains(log, "off ") {
		t.Errorf("got\n%s", log)
	}
	r.stop(t)
}
