package daemon

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// crowdSize is how many MTAs come at the same time.
const crowdSize = 300

// A fate is what became of one message of a crowd.
type fate struct {
	result miltertest.Result
	reply  string
	marks  string // the fields that the milters have added
	err    error
}

// crowd sends so many messages at once to a daemon, each in a session of its own.
// Where they stay, no session ends before every message has its answer.
func crowd(socket string, stay bool) []fate {
	fates := make([]fate, crowdSize)
	var clients, unanswered sync.WaitGroup
	unanswered.Add(crowdSize)
	for i := range fates {
		clients.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var m *miltertest.MTA
			if m, fates[i].err = miltertest.Dial(ctx, "unix", socket, miltertest.Offer{Timeout: time.Minute}); m != nil {
				defer m.Close()
				fates[i] = oneOfACrowd(m)
			}
			unanswered.Done()
			if stay {
				unanswered.Wait()
			}
		})
	}
	clients.Wait()
	return fates
}

func oneOfACrowd(m *miltertest.MTA) fate {
	p := miltertest.Player{MTA: m, Client: miltertest.Client{Host: "client.example", Family: wire.FamilyInet, Addr: "192.0.2.1", Port: 25, Helo: "client.example"}}
	if _, err := p.Open(); err != nil {
		return fate{err: err}
	}
	o, err := p.Mail(miltertest.Mail{
		From:    "<a@example.org>",
		To:      []miltertest.Recipient{{Addr: "<b@example.net>"}},
		Message: miltertest.ParseMessage([]byte("Subject: crowd\r\n\r\none of many\r\n")),
	})
	if err != nil {
		return fate{err: err}
	}
	f := fate{result: o.Result, reply: o.Reply}
	for _, e := range o.Edits {
		f.marks += e.Name + " "
	}
	return f
}

// count checks that every message was either seen by both milters or told to come
// again, and returns how many were which.
func count(t *testing.T, fates []fate) (taken, putOff int) {
	t.Helper()
	for i, f := range fates {
		switch {
		case f.err != nil:
			t.Errorf("message %d has no answer: %v", i, f.err)
		case f.result == miltertest.Accepted && f.marks == "X-One X-Two ":
			taken++
		case f.result == miltertest.TempFailed && f.reply == "451 4.3.2 Too busy, try again later":
			putOff++
		default:
			t.Errorf("message %d: %v %q, seen by %q", i, f.result, f.reply, f.marks)
		}
	}
	return taken, putOff
}

// scanners are two milters whose default action waves messages through; each
// takes a while for a message.
func scanners(t *testing.T, dir string, while time.Duration) (config string) {
	t.Helper()
	for _, name := range []string{"One", "Two"} {
		f := &miltertest.Filter{Script: miltertest.Script{On: map[byte][]miltertest.Answer{
			wire.CmdEOM: {{Delay: while, Edits: []miltertest.Edit{miltertest.AddHeader("X-"+name, "seen")}}},
		}}}
		if _, err := f.Start("unix", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		config += fmt.Sprintf("[[milter]]\nname = %q\nsocket = \"unix:DIR/%s\"\ndefault_action = \"accept\"\n", name, name)
	}
	return config
}

// report prints what a daemon has used, and checks that it has not spun: then it
// would have had a processor all the time.
func report(t *testing.T, r *running, began time.Time, taken, putOff int) {
	t.Helper()
	wall := time.Since(began)
	r.stop(t)
	cpu := r.ProcessState.UserTime() + r.ProcessState.SystemTime()
	t.Logf("%d messages: %d taken, %d put off, in %v; CPU of the daemon %v", crowdSize, taken, putOff, wall.Round(time.Millisecond), cpu)
	if cpu > wall*2/3 {
		t.Errorf("the daemon has used %v of CPU in %v", cpu, wall)
	}
}

// Of 300 sessions that stay, 100 have a place; the messages of the others are put
// off after 5 s.
func TestMoreSessionsThanMaxSessions(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	config := "max_sessions = 100\n" + scanners(t, dir, 10*time.Millisecond)
	r := begin(t, program("serve", "--config", configFile(t, dir, config)))
	began := time.Now()
	fates := crowd(filepath.Join(dir, "s"), true)
	taken, putOff := count(t, fates)
	if taken != 100 || putOff != 200 {
		t.Errorf("%d taken and %d put off, want 100 and 200", taken, putOff)
	}
	report(t, r, began, taken, putOff)
	if n := strings.Count(r.stderr.String(), "too many sessions"); n != 1 {
		t.Errorf("%d warnings within a minute, want 1:\n%s", n, r.stderr.String())
	}
}

// Of 300 sessions with two milters each, which would take 900 descriptors, a
// daemon that has 256 serves as many at a time as it can, and the rest after
// them, or puts them off.
func TestMoreSessionsThanDescriptors(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	config := "max_sessions = 200\n" + scanners(t, dir, 250*time.Millisecond)
	serve := program("serve", "--config", configFile(t, dir, config))
	limited := exec.Command("sh", append([]string{"-c", `ulimit -n 256 && exec "$0" "$@"`}, serve.Args...)...)
	limited.Env = serve.Env
	r := begin(t, limited)
	began := time.Now()
	fates := crowd(filepath.Join(dir, "s"), false)
	taken, putOff := count(t, fates)
	if taken <= 40 {
		t.Errorf("%d messages were taken, no more than there are places: they are not passed on", taken)
	}
	report(t, r, began, taken, putOff)
	log := r.stderr.String()
	if strings.Contains(log, "too many open files") {
		t.Errorf("descriptors ran out:\n%s", log)
	}
	const want = "max_sessions = 200 takes 988 descriptors, and the limit is 256 (LimitNOFILE, ulimit -n): sessions at one time: 40"
	if !strings.Contains(log, want) {
		t.Errorf("the log does not say %q:\n%s", want, log)
	}
}
