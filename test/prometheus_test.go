package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/milterkit/sdk/test/smtpclient"
	"github.com/milterkit/sdk/test/stack"
)

// promtool runs it, and fails where it has something against what it is given.
func promtool(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// The alert rules are what Prometheus takes, and cry when, and only when, they should.
func TestAlertRules(t *testing.T) {
	promtool(t, nil, "check", "rules", "../packaging/prometheus/milterkit.rules.yml")
	promtool(t, nil, "test", "rules", "../packaging/prometheus/milterkit.rules.test.yml")
}

// TestPrometheus has Prometheus scrape a milterkit through which mail goes: what it
// then knows is what happened.
func TestPrometheus(t *testing.T) {
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	port, err := root.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../packaging/prometheus/milterkit.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf("127.0.0.1:%d", port)
	b := &dkimBench{bench: &bench{root: root, kits: map[string]*stack.Milterkit{}, binary: all.binary, milters: all.milters}}
	b.postfix = &stack.Postfix{Root: root, Mailboxes: mailboxes()}
	b.addChain(chain{"watched", []stack.Child{
		{Name: "words", Use: "headers", Options: "[[milter.options.rule]]\nheader = \"Subject\"\nmatch = \"refuse me\"\naction = \"reject\"\n"},
		{Name: "gone", Socket: "unix:" + root.Path("nobody-here.sock"), DefaultAction: "accept"},
	}}, routes[1])
	kit := b.kits["watched/behind"]
	kit.Server = fmt.Sprintf("status = %q\njournal = %q", status, root.Path(kit.Name, "journal.db"))
	prometheus := &stack.Prometheus{Root: root, Target: status, Rules: rules}
	b.startAll(t, []stack.Component{prometheus})

	for range 3 {
		delivered(t, b.play(t, "watched", routes[1], send(letter("hello", "", "Hello."))))
	}
	for range 2 {
		b.play(t, "watched", routes[1], func(c *smtpclient.Client) {
			c.Ehlo(client)
			transaction(c, bob, letter("refuse me", "", "Hello."))
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for expr, want := range map[string]string{
		`up{job="milterkit"}`:                                                                       "1",
		`milterkit_messages_total{outcome="accept",by=""}`:                                          "3",
		`milterkit_messages_total{outcome="reject",by="words"}`:                                     "2",
		`milterkit_milter_messages_total{milter="words",verdict="reject"}`:                          "2",
		`sum by (milter) (milterkit_milter_failures_total{milter="gone"})`:                          "5",
		`milterkit_milter_down{milter="gone"}`:                                                      "1",
		`milterkit_message_duration_seconds_count`:                                                  "5",
		`milterkit_milter_answer_duration_seconds_count{milter="words",stage="end of message"} > 4`: "5",
		`milterkit_sessions_max > bool 1`:                                                           "1",
		`milterkit_journal_records - milterkit_journal_lost_total`:                                  "5",
		`milterkit_sessions < 6`:                                                                    "0",
		`count(ALERTS{alertname="MilterDown",alertstate="pending"})`:                                "1",
	} {
		if err := prometheus.Await(ctx, expr, want); err != nil {
			t.Error(err)
		}
	}
	checkMetrics(t, status)
	b.reloads(ctx, t, kit, prometheus)
}

// reloads has a milterkit refuse a configuration, and take one: Prometheus hears of
// both, and no more of a milter that is gone.
func (b *dkimBench) reloads(ctx context.Context, t *testing.T, kit *stack.Milterkit, prometheus *stack.Prometheus) {
	t.Helper()
	file := b.root.Path(kit.Name, "milterkit.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	await := func(config, expr, want string) {
		t.Helper()
		err := errors.Join(os.WriteFile(file, []byte(config), 0o644), syscall.Kill(kit.Pid(), syscall.SIGHUP))
		if err = errors.Join(err, prometheus.Await(ctx, expr, want)); err != nil {
			t.Error(err)
		}
	}
	without, _, _ := strings.Cut(string(text), "\n[[milter]]\nname = \"gone\"")
	await(string(text)+"wrong = 1\n", `milterkit_config_last_reload_successful`, "0")
	await(without, `milterkit_config_last_reload_successful * milterkit_config_generation`, "2")
	if err := prometheus.Await(ctx, `absent(milterkit_milter_down)`, "1"); err != nil {
		t.Error(err)
	}
}

// checkMetrics has promtool look at what is served.
func checkMetrics(t *testing.T, status string) {
	t.Helper()
	resp, err := http.Get("http://" + status + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, bytes.NewReader(text), "check", "metrics")
}
