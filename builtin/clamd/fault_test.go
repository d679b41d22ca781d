package clamd

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A fault is a way in which a clamd does not scan a message.
type fault struct {
	name   string
	hangs  bool   // until its time is over
	reason string // that is told
	conn   func(*fake, net.Conn)
	reply  string
}

// after has a message received, and then something done.
func after(do func(net.Conn)) func(*fake, net.Conn) {
	return func(f *fake, conn net.Conn) {
		f.receive(conn)
		do(conn)
	}
}

// hang waits until the other end goes away.
func hang(conn net.Conn) { io.Copy(io.Discard, conn) }

func says(text string) func(net.Conn) {
	return func(conn net.Conn) { io.WriteString(conn, text) }
}

// timeout is long, on a busy machine too, where it is not what is waited for.
func (f *fault) timeout(hangs time.Duration) time.Duration {
	if f.hangs {
		return hangs
	}
	return time.Minute
}

var faults = []fault{
	{name: "closes without an answer", reason: ": the connection was closed without an answer", conn: after(func(net.Conn) {})},
	{name: "hangs", hangs: true, reason: ": no answer in 150ms", conn: func(_ *fake, conn net.Conn) { hang(conn) }},
	{name: "hangs after it has all", hangs: true, reason: ": no answer in 150ms", conn: after(hang)},
	{name: "is slow", hangs: true, reason: ": no answer in 150ms", conn: after(func(conn net.Conn) {
		for _, c := range []byte("stream: OK and so on and so on") {
			if _, err := conn.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(soon / 10)
		}
	})},
	{name: "half of an answer", reason: `: an answer that is cut off: "stream: OK"`, conn: after(says("stream: OK"))},
	{name: "an answer with the wrong end", reason: `: an answer that is cut off: "stream: OK\n"`, conn: after(says("stream: OK\n"))},
	{name: "two answers", reason: `: more than one answer: "stream: OK\x00stream: Virus FOUND\x00"`, conn: after(says("stream: OK\x00stream: Virus FOUND\x00"))},
	{name: "an answer without an end", reason: ": an answer without an end: ", conn: after(says(strings.Repeat("stream: OK ", 100000)))},
	{name: "an empty answer", reason: `: an answer that is not clamd's: ""`, conn: after(says("\x00"))},
	{name: "garbage", reason: `: an answer that is not clamd's: "220 mx ESMTP"`, reply: "220 mx ESMTP"},
	{name: "nearly OK", reason: `: an answer that is not clamd's: "stream: OKAY"`, reply: "stream: OKAY"},
	{name: "OK of another thing", reason: `: an answer that is not clamd's: "/etc/passwd: OK"`, reply: "/etc/passwd: OK"},
	{name: "an error with a colon", reason: `: says "stream: Can't allocate memory"`, reply: "stream: Can't allocate memory ERROR"},
	{name: "an error without one", reason: `: says "Can't create temporary file"`, reply: "Can't create temporary file ERROR"},
	{name: "an unknown command", reason: `: says "UNKNOWN COMMAND"`, reply: "UNKNOWN COMMAND ERROR"},
}

// Whatever a clamd does but to answer, the message is not called clean, and the
// reason names the clamd.
func TestAFaultIsNeverAClean(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		for _, fault := range faults {
			t.Run(fault.name, func(t *testing.T) {
				t.Parallel()
				f := &fake{conn: fault.conn, reply: func(string, string) string { return fault.reply }}
				f.start(t, network)
				child := newChild(t, with(options(f), func(o *Options) { o.Timeout = fault.timeout(soon) }))
				wantFailed(t, scan(t, child, letter), "not scanned: "+f.addr()+fault.reason)
			})
		}
	})
}

// A child is made though no clamd is there (yet), and a message is put off.
func TestNoClamdIsThere(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "unix")
	f.stop()
	wantFailed(t, scan(t, newChild(t, options(f)), letter), f.addr()+": cannot connect: no such file or directory")
	f = (&fake{}).start(t, "tcp")
	f.stop()
	wantFailed(t, scan(t, newChild(t, options(f)), letter), f.addr()+": cannot connect: connection refused")
}

// A clamd that breaks off has mostly said why.
func TestTheReasonForBreakingOffIsHeard(t *testing.T) {
	t.Parallel()
	f := &fake{conn: func(_ *fake, conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1000))
		io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
		conn.(*net.UnixConn).CloseWrite()
		conn.(*net.UnixConn).CloseRead()
		time.Sleep(soon / 3)
	}}
	f.start(t, "unix")
	child := newChild(t, options(f))
	wantFailed(t, scan(t, notHanded(child), letter+strings.Repeat("x\r\n", 1<<20)),
		`says "INSTREAM size limit exceeded."; max_size must not be above the StreamMaxLength of its clamd.conf`)
}

// An answer to a part of a message is none, whatever it says.
func TestAnAnswerToAPartDoesNotCount(t *testing.T) {
	t.Parallel()
	f := &fake{conn: func(_ *fake, conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1000))
		io.WriteString(conn, "stream: OK\x00")
		conn.(*net.UnixConn).CloseWrite()
		conn.(*net.UnixConn).CloseRead()
		time.Sleep(soon / 3)
	}}
	f.start(t, "unix")
	wantFailed(t, scan(t, notHanded(newChild(t, options(f))), letter+strings.Repeat("x\r\n", 1<<20)),
		"the connection broke while the message was sent: broken pipe")
}

// A clamd that dies at any moment has not called the message clean, unless it had it
// all and its answer was out.
func TestAClamdThatDiesAtAnyMoment(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		var whole atomic.Bool
		f := &fake{}
		f.conn = func(f *fake, conn net.Conn) {
			dies := &dying{Conn: conn}
			dies.left.Store(int64(rand.IntN(len(letter) + 60)))
			var through net.Conn = dies
			if network == "unix" && rand.IntN(2) == 0 { // else the descriptor is not seen
				through = conn
			}
			command, message, err := f.receive(through)
			if err != nil {
				return
			}
			answer := f.replyTo(command, message) + "\x00"
			n := rand.IntN(len(answer) + 1)
			whole.Store(n == len(answer))
			io.WriteString(conn, answer[:n])
		}
		f.start(t, network)
		child := newChild(t, with(options(f), func(o *Options) { o.Headers = false }))
		clean, tries := 0, 1000
		for i := range tries {
			whole.Store(false)
			r := scan(t, child, letter)
			if r.child.Kind() != milterkit.KindFail {
				clean++
				if !whole.Load() {
					t.Fatalf("try %d: %s, and clamd had not answered", i, r.child)
				}
			} else if whole.Load() {
				t.Errorf("try %d: clamd had answered: %v", i, r.child.Err())
			}
		}
		t.Logf("%d of %d tries came to an end", clean, tries)
		if clean == 0 || clean == tries {
			t.Error("the clamd has always died, or never")
		}
	})
}

// dying is a connection that ends after some bytes.
type dying struct {
	net.Conn
	left atomic.Int64
}

func (d *dying) Read(p []byte) (int, error) {
	left := d.left.Load()
	if left <= 0 {
		return 0, errors.New("dead")
	}
	n, err := d.Conn.Read(p[:min(int64(len(p)), left)])
	d.left.Add(-int64(n))
	return n, err
}

// A message is scanned by the next clamd where one does not answer.
func TestFailOver(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		for _, fault := range faults {
			t.Run(fault.name, func(t *testing.T) {
				t.Parallel()
				bad := &fake{conn: fault.conn, reply: func(string, string) string { return fault.reply }}
				good := &fake{}
				child := newChild(t, with(options(bad.start(t, network), good.start(t, network)), func(o *Options) { o.Timeout = fault.timeout(4 * soon) }))
				wantClean(t, scan(t, child, letter))
				wantRefused(t, scan(t, child, infectedLetter), "550 5.7.1 Infected with Test:Virus.A(1)")
			})
		}
	})
}

// A clamd that does not answer costs one message its time, and not each.
func TestABadClamdIsTriedLastForAWhile(t *testing.T) {
	t.Parallel()
	var clock miltertest.Clock
	var asked atomic.Int64
	bad := &fake{conn: func(*fake, net.Conn) { asked.Add(1) }}
	good := &fake{}
	o := options(bad.start(t, "tcp"), good.start(t, "tcp"))
	o.Clock = clock.Now
	child := newChild(t, o)
	for range 5 {
		wantClean(t, scan(t, child, letter))
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	clock.Advance(30 * time.Second)
	wantClean(t, scan(t, child, letter))
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times half a minute later, want twice", n)
	}
}

// Each clamd has the whole of its time, be that of all together longer than a child
// has without a sign of life.
func TestTheContentTimeoutBeginsAnewForEach(t *testing.T) {
	t.Parallel()
	hangs := func(_ *fake, conn net.Conn) { hang(conn) }
	first, second := (&fake{conn: hangs}).start(t, "unix"), (&fake{conn: hangs}).start(t, "tcp")
	child := newChild(t, with(options(first, second), func(o *Options) { o.Timeout = 600 * time.Millisecond }))
	r := scanAs(t.Context(), t, milterkit.Slot{Child: child, ContentTimeout: time.Second}, []byte(letter))
	wantFailed(t, r, first.addr()+": no answer in 600ms; "+second.addr()+": no answer in 600ms")
}

// Where none answers the reason names them all.
func TestTheReasonNamesAll(t *testing.T) {
	t.Parallel()
	one, two := (&fake{reply: func(string, string) string { return "a ERROR" }}).start(t, "tcp"), (&fake{}).start(t, "unix")
	two.stop()
	wantFailed(t, scan(t, newChild(t, options(one, two)), letter),
		one.addr()+`: says "a"; `+two.addr()+": cannot connect: no such file or directory")
}

// A clamd that may not read what it is handed is sent the message.
func TestWhatIsNotTakenIsSent(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.reply = func(command, _ string) string {
		if command == "FILDES" {
			return "No file descriptor received. ERROR"
		}
		return "stream: OK"
	}
	f.start(t, "unix")
	wantClean(t, scan(t, newChild(t, options(f)), letter))
	if got := strings.Join(f.got(), " "); got != "FILDES INSTREAM" {
		t.Errorf("the commands are %s", got)
	}
}

// What is handed over has a bound; what is beyond it is sent, from where it stands.
func TestWhatIsHandedOverIsBounded(t *testing.T) {
	t.Parallel()
	f := (&fake{}).start(t, "unix")
	wantClean(t, scan(t, notHanded(newChild(t, options(f))), letter))
	if got := strings.Join(f.got(), " "); got != "INSTREAM" {
		t.Errorf("the commands are %s", got)
	}
}

// When the hook's time is over it returns, the connection is closed, and the memory
// of the message is not looked at any more (the race detector sees to that).
func TestAHookThatIsStoppedReturns(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		gone := make(chan struct{})
		f := &fake{conn: func(_ *fake, conn net.Conn) {
			conn.Read(make([]byte, 1))
			time.Sleep(soon / 3) // the socket is full then
			cancel()
			io.Copy(io.Discard, conn)
			close(gone)
		}}
		f.start(t, network)
		text := []byte(letter + strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\r\n", 300000))
		start := time.Now()
		child := newChild(t, options(f))
		r := scanIn(ctx, t, notHanded(child), text)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the hook has returned after %s", d)
		}
		for i := range text {
			text[i] = 0
		}
		if err := r.child.Err(); errors.Is(err, milterkit.ErrGivenUp) || r.child.Kind() != milterkit.KindFail {
			t.Errorf("got %s, %v", r.child, err)
		}
		<-gone
	})
}

// All of a message is sent, in whatever pieces it comes: an empty one is not the end,
// and one that comes with the end is not lost.
func TestAllPiecesAreSent(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]io.Reader{
		"empty pieces":           &net.Buffers{{}, []byte("a"), {}, {}, []byte("bc"), {}},
		"the last with the end":  iotest.DataErrReader(strings.NewReader("abc")),
		"one byte at a time":     iotest.OneByteReader(strings.NewReader("abc")),
		"empty ones, and an end": struct{ io.Reader }{&net.Buffers{[]byte("a"), {}, []byte("bc")}},
	} {
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			if err := stream(ours, message); err != nil {
				t.Error(err)
			}
		}()
		_, got, err := (&fake{}).receive(theirs)
		if err != nil || got != "abc" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// What cannot be read is not sent as if it ended there.
func TestAMessageThatCannotBeRead(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	go func() {
		defer ours.Close()
		if err := stream(ours, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc")))); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("got %v", err)
		}
	}()
	if _, got, err := (&fake{}).receive(theirs); err == nil {
		t.Errorf("clamd takes %q for the whole", got)
	}
}

// The version is asked for once an hour, and no message fails, or waits long, for it.
func TestTheVersion(t *testing.T) {
	t.Parallel()
	var clock miltertest.Clock
	f := (&fake{version: "ClamAV 1.4.6"}).start(t, "tcp")
	o := options(f)
	o.Clock = clock.Now
	child := newChild(t, o)
	wantVersion := func(want string, asked int) {
		t.Helper()
		if r := scan(t, child, letter); !strings.Contains(r.text, "\r\nX-Virus-Scanned: clamd"+want+" at mx.example.net\r\n") {
			t.Errorf("want the version%s, got %s\n%s", want, r.Verdict, r.text)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.asked != asked {
			t.Errorf("asked %d times, want %d", f.asked, asked)
		}
	}
	f.version = "something else"
	wantVersion("", 1)
	wantVersion("", 1)
	f.version = "ClamAV 1.4.6\r\nX-Forged: yes/27511/Mon Nov 23 09:12:00 2026"
	clock.Advance(time.Minute)
	wantVersion(" 1.4.6__X-Forged:_yes", 2)
	f.version = "ClamAV 1.5.0/27511/Mon Nov 23 09:12:00 2026"
	clock.Advance(time.Hour - 1)
	wantVersion(" 1.4.6__X-Forged:_yes", 2)
	clock.Advance(1)
	wantVersion(" 1.5.0", 3)
	f.version = "" // closes without an answer
	clock.Advance(time.Hour)
	wantVersion(" 1.5.0", 4)
}

// A message that was broken off while it asked does not keep the next from asking.
func TestTheVersionIsAskedForByTheNext(t *testing.T) {
	t.Parallel()
	f := (&fake{version: "ClamAV 1.4.6"}).start(t, "tcp")
	c := newChild(t, options(f)).(*child)
	for addr, v := range c.versions {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if got := v.of(gone, addr, time.Now); got != "" {
			t.Errorf("got %q from nobody", got)
		}
		if got := v.of(t.Context(), addr, time.Now); got != "1.4.6" {
			t.Errorf("the next one got %q", got)
		}
	}
}

// Many messages at one time are kept apart.
func TestManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		f := (&fake{}).start(t, network)
		child := newChild(t, options(f))
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if i%2 == 0 {
					wantClean(t, scan(t, child, letter))
				} else {
					wantRefused(t, scan(t, child, infectedLetter), "550 5.7.1 Infected with Test:Virus.A(1)")
				}
			})
		}
		wg.Wait()
	})
}
