package stack

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// What clamd finds. It is started with these two signatures only.
const (
	// EICAR is the file that every virus scanner takes for a virus.
	EICAR = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

	// EICARName is what clamd calls it.
	EICARName = "Eicar-Test-Signature.UNOFFICIAL"

	// Marker is a harmless text that clamd takes for a virus as well.
	Marker = "MILTERKIT-TEST-VIRUS-MARKER"

	// MarkerName is what clamd calls it.
	MarkerName = "Milterkit.Test.Marker.UNOFFICIAL"
)

// Clamd is ClamAV's scanner. With its zero value it is a quick one.
type Clamd struct {
	Root *Root

	// Name tells several in one root apart; "": clamd.
	Name string

	// Port, where it is not 0, is one on 127.0.0.1 at which it takes commands too:
	// see [Root.FreePort].
	Port int

	// MadeUp is a number of signatures besides, which nothing has, so that a
	// scan takes as long as where there are many.
	MadeUp int

	// Forgetful keeps it from knowing a message again that it has scanned.
	Forgetful bool

	daemon
}

// Addr is the path of the unix socket at which clamd takes commands.
func (c *Clamd) Addr() string { return c.Root.Path(c.folder(), "sock") }

func (c *Clamd) folder() string { return cmp.Or(c.Name, "clamd") }

// Start implements [Component].
func (c *Clamd) Start() error {
	r := c.Root
	dir, err := r.mkdir(c.folder())
	if err != nil {
		return err
	}
	db, err := r.mkdir(c.folder(), "db")
	if err != nil {
		return err
	}
	// Name:type of file:offset:bytes in hexadecimal
	signatures := fmt.Sprintf("Eicar-Test-Signature:0:*:%x\nMilterkit.Test.Marker:0:*:%s\n",
		EICAR, hex.EncodeToString([]byte(Marker))) + madeUp(c.MadeUp)
	config := fmt.Sprintf(`DatabaseDirectory %s
LocalSocket %s
LocalSocketMode 666
FixStaleSocket yes
TemporaryDirectory %s
Foreground yes
MaxThreads 4
SelfCheck 0
StreamMaxLength 100M
MaxScanSize 100M
MaxFileSize 100M
`, db, c.Addr(), dir)
	if c.Forgetful {
		config += "DisableCache yes\n"
	}
	if c.Port != 0 {
		config += fmt.Sprintf("TCPSocket %d\nTCPAddr 127.0.0.1\n", c.Port)
	}
	conf := r.Path(c.folder(), "clamd.conf")
	if err := errors.Join(r.write(r.Path(c.folder(), "db", "test.ndb"), signatures), r.write(conf, config)); err != nil {
		return err
	}
	c.grace = stopLimit
	if err := c.launch(r, c.folder(), dir, r.nobody(), nil, "clamd", "-c", conf); err != nil {
		return err
	}
	return c.ready("PONG", c.pong)
}

// madeUp returns signatures of random bytes, the same ones each time.
func madeUp(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Made.Up-%d:0:*:", i)
		for range 2 + random.IntN(4) {
			fmt.Fprintf(&b, "%016x", random.Uint64())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// pong reports whether clamd answers.
func (c *Clamd) pong() bool {
	conn, err := net.Dial("unix", c.Addr())
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(startLimit))
	if _, err := conn.Write([]byte("zPING\x00")); err != nil {
		return false
	}
	answer := make([]byte, len("PONG\x00"))
	_, err = conn.Read(answer)
	return err == nil && string(answer) == "PONG\x00"
}

// ClamavMilter is ClamAV's milter. It refuses a message with a virus, and
// adds X-Virus-Scanned and X-Virus-Status to any other.
type ClamavMilter struct {
	Root  *Root
	Clamd *Clamd

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (c *ClamavMilter) Socket() string { return "unix:" + c.Root.Path("clamav-milter", "sock") }

// Start implements [Component].
func (c *ClamavMilter) Start() error {
	r := c.Root
	dir, err := r.mkdir("clamav-milter")
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`MilterSocket %s
MilterSocketMode 666
FixStaleSocket yes
ClamdSocket unix:%s
TemporaryDirectory %s
Foreground yes
LogInfected Full
LogClean Off
LogFile %s
OnClean Accept
OnInfected Reject
OnFail Defer
RejectMsg Infected with %%v
AddHeader Replace
MaxFileSize 100M
`, c.Socket(), c.Clamd.Addr(), dir, r.Path("clamav-milter", "log"))
	conf := r.Path("clamav-milter", "clamav-milter.conf")
	if err := r.write(conf, config); err != nil {
		return err
	}
	c.grace = stopLimitLibmilter
	if err := c.launch(r, "clamav-milter", dir, r.nobody(), nil, "clamav-milter", "-c", conf); err != nil {
		return err
	}
	return c.listens(r.Path("clamav-milter", "sock"))
}

// Log implements [Component]; the milter has a log file of its own as well.
func (c *ClamavMilter) Log() string {
	return c.daemon.Log() + tail(c.Root.Path("clamav-milter", "log"))
}
