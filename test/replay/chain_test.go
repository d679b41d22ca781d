package replay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/remote"
	"github.com/milterkit/sdk/milterkit/wire"
)

// Each recorded session: the MTA speaks with milterkit only, and milterkit with
// the filters. Each filter is shown what it was shown, and the MTA is told what
// it had come to itself after asking all of them.
func TestRecordedSessionsReplay(t *testing.T) {
	for name, messages := range map[string][]int{ // in each session
		"chain-clean.txt": {1}, "chain-eicar.txt": {1}, "chain-gtube.txt": {1},
		"sendmail-chain-clean.txt": {1}, "sendmail-chain-gtube.txt": {1},
		"twomails.txt": {2}, "rspamd.txt": {1, 1, 1}, "amavis.txt": {1, 1},
		"opendmarc-signed.txt": {1}, "pyspf-pass.txt": {0, 1},
	} {
		tr := readTrace(t, name)
		sessions := tr.sessions()
		if len(sessions) != len(messages) {
			t.Fatalf("%s has %d sessions, want %d", name, len(sessions), len(messages))
		}
		for i, s := range sessions {
			t.Run(fmt.Sprintf("%s %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				fates := s.fates(t)
				if len(fates) != messages[i] {
					t.Fatalf("%d messages, want %d", len(fates), messages[i])
				}
				replay(t, s, fates)
				if len(tr.dialogue) > 0 {
					compareDialogue(t, tr.dialogue, fates[0])
				}
			})
		}
	}
}

// compareDialogue compares the fate of the session's only message with what its
// client was told.
func compareDialogue(t *testing.T, dialogue []line, f fate) {
	t.Helper()
	var told []string
	for _, l := range dialogue {
		if l.server {
			told = append(told, l.text)
		}
	}
	end, ok := strings.CutPrefix(told[len(told)-1], "(end of data) ")
	taken := strings.HasPrefix(end, "250 2.0.0 ")
	if len(told) != 3 || told[0][:3] != "250" || told[1][:3] != "250" || !ok || taken != (f.refusal == "") || !taken && end != f.refusal {
		t.Errorf("the client was told %q, and the message's fate is %q", told, f.refusal)
	}
}

// replay plays a session past milterkit and its filters.
func replay(t *testing.T, s session, fates []fate) {
	dir := temp(t)
	var slots []milterkit.Slot
	var filters []*miltertest.Filter
	log := &bytes.Buffer{} // read when nobody writes any more
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for i, c := range s {
		f, addr := start(t, dir, fmt.Sprint(i), c.script())
		m := &remote.Milter{Label: "filter " + c.name, Network: "unix", Addr: addr, Logger: logger}
		t.Cleanup(func() { m.Close() })
		filters, slots = append(filters, f), append(slots, milterkit.Slot{Child: m})
	}
	srv, addr := serve(t, dir, logger, slots)
	offer := miltertest.Offer{Strict: true, Sendmail: s.mta().name == "Sendmail", Timeout: 20 * time.Second}
	m, err := miltertest.Dial(t.Context(), "unix", addr, offer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	for _, x := range s.steps() {
		if x.cmd == wire.CmdConnect && offer.Sendmail {
			x.macros = append(x.macros, "v", sendmailVersion) // it is asked for that
		}
		if x.announce {
			m.Macros(x.cmd, x.macros...)
		}
		edits, r, err := give(m, x)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", wire.CmdName(x.cmd), err)
		case x.cmd != wire.CmdEOM:
			if r.Final() {
				t.Errorf("%s: %v", wire.CmdName(x.cmd), r)
			}
		default:
			compareFate(t, s.mta(), fates[0], edits, r)
			fates = fates[1:]
		}
	}
	for i, c := range s {
		idle(t, filters[i])
		if diff := cmp.Diff(view(direct(t, dir, c)), view(filters[i])); diff != "" {
			t.Errorf("filter %s saw: -recorded +behind milterkit\n%s", c.name, diff)
		}
	}
	srv.Close()
	if log.Len() > 0 {
		t.Errorf("the log says:\n%s", log)
	}
}

const sendmailVersion = "8.17.1"

// compareFate compares the fate of a message with the answer at its end.
func compareFate(t *testing.T, m manners, want fate, edits []miltertest.Edit, r miltertest.Reply) {
	t.Helper()
	switch {
	case r.SMTP() != want.refusal:
		t.Errorf("the client is told %q, want %q", r.SMTP(), want.refusal)
	case r.Refused() && len(edits) > 0:
		t.Errorf("a refused message is changed: %v", edits)
	case !r.Refused():
		if diff := cmp.Diff(want.taken.String(), m.apply(want.came, edits).String()); diff != "" {
			t.Errorf("the message is -recorded +behind milterkit\n%s", diff)
		}
	}
}

// give has the MTA give a command.
func give(m *miltertest.MTA, x step) (edits []miltertest.Edit, r miltertest.Reply, err error) {
	switch x.cmd {
	case wire.CmdConnect:
		c, _ := wire.ParseConnect(x.payload)
		r, err = m.Connect(string(c.Host), c.Family, c.Port, string(c.Addr))
	case wire.CmdHelo:
		name, _ := wire.ParseHelo(x.payload)
		r, err = m.Helo(string(name))
	case wire.CmdMail, wire.CmdRcpt:
		a, _ := wire.ParseAddress(x.cmd, x.payload)
		ask := m.Mail
		if x.cmd == wire.CmdRcpt {
			ask = m.Rcpt
		}
		var args []string
		for arg := range a.Args() {
			args = append(args, string(arg))
		}
		r, err = ask(string(a.Addr), args...)
	case wire.CmdData:
		r, err = m.Data()
	case wire.CmdHeader:
		name, value, _ := wire.ParseHeader(x.payload)
		r, err = m.Header(string(name), string(value))
	case wire.CmdEOH:
		r, err = m.EOH()
	case wire.CmdBody:
		r, err = m.Body(x.payload)
	case wire.CmdEOM:
		edits, r, err = m.EOM()
	case wire.CmdAbort:
		err = m.Abort()
	case wire.CmdQuit:
		err = m.Quit()
	default:
		err = fmt.Errorf("%s is not played", wire.CmdName(x.cmd))
	}
	return edits, r, err
}

// direct has the filter's script told just the packets that the filter was told,
// and sees to it that it answers with just those that were recorded.
func direct(t *testing.T, dir string, c *recorded) *miltertest.Filter {
	t.Helper()
	f, addr := start(t, dir, "alone "+c.name, c.script())
	nc, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	r := wire.NewReader(nc, nil)
	for _, p := range c.packets {
		if p.from == mta {
			if _, err := nc.Write(wire.AppendFrame(nil, p.packet.Code, p.packet.Payload)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := r.Next()
		if err != nil || got.Code != p.packet.Code || !bytes.Equal(got.Payload, p.packet.Payload) {
			t.Fatalf("the script of filter %s answers %s %q, %v; recorded is %s %q", c.name,
				wire.RepName(got.Code), got.Payload, err, wire.RepName(p.packet.Code), p.packet.Payload)
		}
	}
	idle(t, f)
	return f
}

// view returns what a filter was shown, each command with the macros that it had
// for it, without what tells a filter nothing:
//
//   - Postfix repeats the macros with every field of the header and every piece
//     of the body, and sends packets of no macros; milterkit does neither;
//   - macros for parts of the content that the filter is not shown;
//   - an ABORT when no message is under way: Postfix sends one more of them than
//     milterkit, Sendmail one less;
//   - what Sendmail would not have said unasked.
func view(f *miltertest.Filter) []string {
	var lines []string
	macros, pending := map[byte]string{}, ""
	inMessage := false
	for _, e := range f.Events() {
		if e.Cmd == wire.CmdMacros {
			word, list, _ := strings.Cut(strings.TrimPrefix(e.Text, "macros "), " ")
			list = strings.TrimSuffix(list, " v="+sendmailVersion)
			cmd := miltertest.Command(word)
			if pending != "" {
				lines, pending = append(lines, pending), ""
			}
			if macros[cmd] = list; list != "" && strings.IndexByte("LNBE", cmd) < 0 {
				pending = "macros " + word + " " + list
			}
			continue
		}
		if pending != "" && !strings.HasPrefix(pending, "macros "+miltertest.Word(e.Cmd)+" ") {
			lines = append(lines, pending)
		}
		pending = ""
		switch e.Cmd {
		case wire.CmdMail:
			inMessage = true
		case wire.CmdEOM:
			inMessage = false
		case wire.CmdAbort:
			if !inMessage {
				continue
			}
			inMessage = false
		}
		lines = append(lines, strings.TrimSpace(e.Text+"   "+macros[e.Cmd]))
		if e.Cmd == wire.CmdEOM || e.Cmd == wire.CmdAbort {
			clear(macros)
		}
	}
	return lines
}

// temp returns a new directory with a name short enough for sockets.
func temp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "r")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start starts a filter with that script for the length of the test.
func start(t *testing.T, dir, name string, s miltertest.Script) (*miltertest.Filter, string) {
	t.Helper()
	f := &miltertest.Filter{Script: s}
	addr, err := f.Start("unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, addr
}

// serve puts slots behind a milterkit server for the length of the test.
func serve(t *testing.T, dir string, logger *slog.Logger, slots []milterkit.Slot) (*milterkit.Server, string) {
	t.Helper()
	d, err := milterkit.NewDispatcher(slots...)
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = logger
	srv := &milterkit.Server{Dispatcher: d, TempDir: dir}
	ln, err := net.Listen("unix", filepath.Join(dir, "milterkit"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close(); <-ended })
	return srv, ln.Addr().String()
}

// idle waits until the filter's session has ended.
func idle(t *testing.T, f *miltertest.Filter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Idle(ctx, 1); err != nil {
		t.Errorf("the filter's session does not end: %v, %q", err, f.Saw())
	}
}
