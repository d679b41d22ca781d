package test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/test/stack"
)

// clamds are those that the tests of the native child start, stop and kill: one at
// a unix socket, and one on the network.
type clamds struct {
	root *stack.Root
	port int
}

// near is the first of two, which is handed messages.
func (c clamds) near() *stack.Clamd { return &stack.Clamd{Root: c.root, Name: "clamd-near"} }

// far is the second, which is sent them.
func (c clamds) far() *stack.Clamd {
	return &stack.Clamd{Root: c.root, Name: "clamd-far", Port: c.port}
}

// addClamds adds the chains with a native child that asks the near one, the far
// one, or the near one and then the far one.
func (b *bench) addClamds() error {
	port, err := b.root.FreePort()
	if err != nil {
		return err
	}
	b.clamds = clamds{b.root, port}
	near, far := "unix:"+b.clamds.near().Addr(), fmt.Sprintf("inet:%d@127.0.0.1", port)
	for name, address := range map[string]string{
		"clamd-near": fmt.Sprintf("addresses = [%q]\ntimeout = \"2s\"\n", near),
		"clamd-far":  fmt.Sprintf("addresses = [%q]\n", far),
		"clamd-both": fmt.Sprintf("addresses = [%q, %q]\ntimeout = \"2s\"\n", near, far),
	} {
		b.addChain(chain{name, []stack.Child{{Name: "clamd", Use: "clamd", Options: address}}}, routes[1])
	}
	return nil
}

// startClamd starts one until the test ends, or kills it.
func startClamd(t *testing.T, c *stack.Clamd) *stack.Clamd {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(c.Pid(), syscall.SIGCONT)
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

var (
	hasVirus   = attachment("invoice", virus)
	refusal    = "550 5.7.1 Infected with " + stack.EICARName
	hasNoVirus = letter("figures", "X-Virus-Status: Clean, says the sender\r\nX-Virus-Scanned: by the sender\r\n", "Hello.")
)

// wantScanned wants a message to be delivered, marked once.
func wantScanned(t *testing.T, o *outcome) {
	t.Helper()
	message := delivered(t, o)
	wantText(t, message, "\nX-Virus-Status: Clean\n", "\nX-Virus-Scanned: clamd 1.")
	if n := strings.Count(strings.ToLower(message), "x-virus-"); n != 2 {
		t.Errorf("there are %d X-Virus fields, want 2:\n%s", n, message)
	}
}

// Viruses are found in whatever they come, and other mail is marked, once.
func TestClamd(t *testing.T) {
	startClamd(t, start(t).clamds.far())
	t.Run("far", func(t *testing.T) {
		filler := strings.Repeat(strings.Repeat("a line of a long body ", 3)+"\r\n", 5<<20/68)
		for name, message := range map[string][]byte{
			"in the text":         letter("plain", "", stack.EICAR),
			"attached":            hasVirus,
			"zipped":              attachment("zipped", zipped(virus)),
			"at the end of 5 MB":  bytes.TrimSuffix(letter("long", "", filler, stack.EICAR), []byte("\r\n")),
			"with forged headers": letter("forged", "X-Virus-Status: Clean\r\n", stack.EICAR),
		} {
			run(t, "clamd-far", routes[1:2], []testcase{{name: name, talk: send(message), check: refused(refusal)}})
		}
		run(t, "clamd-far", routes[1:2], []testcase{
			{name: "clean", talk: send(hasNoVirus), check: wantScanned},
			{name: "clean and long", talk: send(letter("long", "", filler)), check: wantScanned},
		})
	})
}

// clamdAt sends a message through a chain, and returns what became of it.
func clamdAt(t *testing.T, chain string, message []byte) *outcome {
	t.Helper()
	return start(t).play(t, chain, routes[1], send(message))
}

// wantPutOff wants a message to be put off, with that reason in the log.
func wantPutOff(t *testing.T, chain, reason string) {
	t.Helper()
	o := clamdAt(t, chain, hasNoVirus)
	wantReply(t, o, ".", tryAgain)
	wantNoMail(t, o)
	kit := start(t).kits[chain+"/"+routes[1].name]
	if log, err := kit.LogOf(reason); err != nil || len(log) == 0 {
		t.Errorf("the log has no %q, %v\n%s", reason, err, kit.Log())
	}
}

// A clamd that is down, hangs or was killed has nothing called clean, and when it is
// there again mail goes on.
func TestClamdInTrouble(t *testing.T) {
	c, trouble := start(t).clamds, "clamd-near"
	address := "not scanned: unix:" + c.near().Addr() + ": "
	wantPutOff(t, trouble, address+"cannot connect: no such file or directory")

	near := startClamd(t, c.near())
	wantScanned(t, clamdAt(t, trouble, hasNoVirus))
	refused(refusal)(t, clamdAt(t, trouble, hasVirus))

	syscall.Kill(near.Pid(), syscall.SIGSTOP)
	wantPutOff(t, trouble, address+"no answer in 2s")
	syscall.Kill(near.Pid(), syscall.SIGCONT)
	refused(refusal)(t, clamdAt(t, trouble, hasVirus))

	near.Kill()
	wantPutOff(t, trouble, address+"cannot connect: connection refused")
	startClamd(t, c.near())
	refused(refusal)(t, clamdAt(t, trouble, hasVirus))
	wantScanned(t, clamdAt(t, trouble, hasNoVirus))
}

// While clamd is killed and started again no virus gets through, and nothing is
// called clean that was not scanned.
func TestClamdIsKilledWhileItScans(t *testing.T) {
	const chain, clients = "clamd-near", 4
	b := start(t)
	near := startClamd(t, b.clamds.near())
	long := letter("long", "", strings.Repeat("a line of a long body\r\n", 50000), stack.EICAR)
	stop := make(chan struct{})
	var found, putOff int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				o, err := b.exchange(chain, routes[1], send(long))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				switch reply := endOf(o); {
				case reply == refusal:
					found++
				case strings.HasPrefix(reply, "451 "):
					putOff++
				default:
					t.Errorf("the client was told %q", reply)
				}
				mu.Unlock()
			}
		})
	}
	for range 3 {
		refused(refusal)(t, clamdAt(t, chain, hasVirus)) // meanwhile the others are being scanned
		near.Kill()
		near = startClamd(t, b.clamds.near())
	}
	refused(refusal)(t, clamdAt(t, chain, hasVirus))
	close(stop)
	wg.Wait()
	t.Logf("%d found, %d put off", found, putOff)
	if found == 0 || putOff == 0 {
		t.Errorf("%d were found, %d put off; want some of both", found, putOff)
	}
}

// endOf is what the client was told at the end of the last message.
func endOf(o *outcome) string {
	reply := ""
	for _, e := range o.dialogue {
		if e.Command == "." {
			reply = e.Reply.String()
		}
	}
	return reply
}

// Where the first clamd is down or hangs the second one scans.
func TestClamdFailOver(t *testing.T) {
	c, chain := start(t).clamds, "clamd-both"
	startClamd(t, c.far())
	both := func() {
		t.Helper()
		wantScanned(t, clamdAt(t, chain, hasNoVirus))
		refused(refusal)(t, clamdAt(t, chain, hasVirus))
	}
	both() // the first one is down
	near := startClamd(t, c.near())
	both()
	syscall.Kill(near.Pid(), syscall.SIGSTOP)
	both()
}
