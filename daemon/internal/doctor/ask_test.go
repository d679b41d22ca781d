package doctor

import (
	"bufio"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/internal/socket"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// answering serves what greets, and answers a line that has a word.
func answering(t *testing.T, greeting, word, answer string) socket.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.WriteString(conn, greeting)
				for lines := bufio.NewReader(conn); ; {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					if word != "" && strings.Contains(line, word) {
						io.WriteString(conn, answer)
						return
					}
				}
			}()
		}
	}()
	return socket.Addr{Network: "tcp", Addr: ln.Addr().String()}
}

// What answers in place of a milter is called by its name, with what is to be
// written instead.
func TestStrangersAreKnown(t *testing.T) {
	for name, c := range map[string]struct{ greeting, word, answer, who, line string }{
		"clamd":  {"", "PING", "PONG\n", "clamd", `use = "clamd"  # in place of socket`},
		"spamd":  {"", "PING", "SPAMD/1.0 76 Bad header line: PING\r\n", "spamd", `use = "spamd"  # in place of socket`},
		"smtp":   {"220 mx.example.org ESMTP\r\n", "", "", "an SMTP server", `socket = "unix:/THE/SOCKET/OF/ITS/MILTER"  # and not that of an SMTP server`},
		"http":   {"", "GET", "HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP server", `socket = "unix:/THE/SOCKET/OF/ITS/MILTER"  # and not that of an HTTP server`},
		"rspamd": {"", "GET", "HTTP/1.1 404 Not found\r\nServer: rspamd/3.8\r\n\r\n", "a worker of rspamd that speaks HTTP", `use = "rspamd"  # in place of socket`},
		"redis":  {"", "PING", "+PONG\r\n", "a Redis server", `socket = "unix:/THE/SOCKET/OF/ITS/MILTER"  # and not that of a Redis server`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := answering(t, c.greeting, c.word, c.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // some wait for the end of a line
			defer cancel()
			a := Ask(ctx, at, FullOffer)
			if a.Stranger != c.who {
				t.Errorf("%+v", a)
			}
			want(t, told(t, at, a).Findings, "not-a-milter", c.line)
		})
	}
}

// told is what is said of a milter at a socket that has answered so.
func told(t *testing.T, at socket.Addr, a Answer, running ...string) *Report {
	t.Helper()
	c, err := config.Parse("f", []byte("[[milter]]\nname = \"m\"\nsocket = \""+at.String()+"\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if len(running) > 0 {
		r.Running = map[string]string{"m": running[0]}
	}
	r.Child(t.TempDir(), c, &c.Milters[0], a, Myself())
	return &r
}

// Of a milter it is told what it wants to see and to do; one that wants what nobody
// offers, and one that is not there, are wrong.
func TestMiltersAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script      miltertest.Script
		right, rule string
	}{
		{miltertest.Script{Actions: wire.ActAddHeader, Steps: wire.NoBody | wire.NoUnknown}, "is shown connect, helo, mail, rcpt, data, header, eoh, may add header", ""},
		{miltertest.Script{Actions: 0x1000, Stubborn: true}, "", "wants-too-much"},
		{miltertest.Script{Negotiate: miltertest.Answer{Close: true}}, "", "no-agreement"},
	} {
		f := miltertest.Filter{Script: c.script}
		addr, err := f.Start("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		at := socket.Addr{Network: "tcp", Addr: addr}
		r := told(t, at, Ask(t.Context(), at, FullOffer))
		if c.rule == "" && (len(r.Right) != 1 || !strings.Contains(r.Right[0].Message, c.right)) || c.rule != "" && (len(r.Findings) != 1 || r.Findings[0].Rule != c.rule || len(r.Findings[0].Mend) == 0) {
			t.Errorf("%+v: %+v", c, r)
		}
	}
	at := socket.Addr{Network: "unix", Addr: filepath.Join(t.TempDir(), "none")}
	want(t, told(t, at, Ask(t.Context(), at, FullOffer)).Findings, "dead-child", "enabled = false  # until it is started")
}

// A milter that answers a user with all groups, and not the daemon, which was started
// before its user came into one of them, is wrong.
func TestOldGroups(t *testing.T) {
	t.Parallel()
	var f miltertest.Filter
	addr, err := f.Start("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := socket.Addr{Network: "tcp", Addr: addr}
	r := told(t, at, Ask(t.Context(), at, FullOffer), "permission denied")
	want(t, r.Findings, "old-groups", "systemctl restart milterkit")
	if len(r.Right) > 0 {
		t.Error(r.Right)
	}
}

// Only a group that the user is in, and the process is not, has come later.
func TestJoined(t *testing.T) {
	process, user := Who{UID: 5, Groups: []int{5, 6}}, Who{UID: 5, Groups: []int{5, 6, 7}}
	if !process.joined(user, 7) || process.joined(user, 6) || process.joined(user, 8) {
		t.Error("wrong")
	}
}

// A connection is closed in the end, whatever was answered, and who never answers is
// not waited for beyond the time that there is.
func TestNoConnectionIsLeft(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"agrees": "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00", "something else": "\x00\x00\x00\x01c", "silent": ""} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		closed := make(chan error, 1)
		go func() {
			conn, err := ln.Accept() // the first one; those that ask who it is come later
			if err != nil {
				closed <- err
				return
			}
			defer conn.Close()
			io.WriteString(conn, answer)
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err = io.Copy(io.Discard, conn)
			closed <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		begun := time.Now()
		Ask(ctx, socket.Addr{Network: "tcp", Addr: ln.Addr().String()}, FullOffer)
		cancel()
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		if err := <-closed; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A milter that wants to see what an old protocol does not have is told of, unless it
// has declined that.
func TestOldProtocolLacks(t *testing.T) {
	t.Parallel()
	tr := newTree(t, "smtpd_milters = unix:milterkit/s\nmilter_protocol = 2\n", "smtp inet n - n - - smtpd\n")
	p, err := ReadPostfix(tr.dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("f", []byte(tr.text(inQueue)+"[[milter]]\nname = \"m\"\nsocket = \"/m\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for steps, lacks := range map[wire.Steps]bool{0: true, wire.NoData: true, wire.NoData | wire.NoUnknown: false, wire.NoData | wire.NoUnknown | wire.LeadingSpace: true} {
		var r Report
		r.Offered(p, c, &c.Milters[0], Answer{Version: 6, Steps: steps})
		if lacks {
			want(t, r.Findings, "not-offered", "milter_protocol = 6")
		} else if len(r.Findings) > 0 {
			t.Errorf("%v: %+v", steps, r.Findings)
		}
	}
}
