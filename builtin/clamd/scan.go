package clamd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/baruwa-enterprise/clamd/protocol"

	"github.com/milterkit/sdk/builtin/internal/peer"
	"github.com/milterkit/sdk/milterkit"
)

// The commands are those of github.com/baruwa-enterprise/clamd. Its client does not
// ask them: a message that is scanned through it (v1.0.1) may be called clean though
// it is not, or not be heard of again. It loses the last piece of a reader that
// returns it together with io.EOF; takes a connection that was closed without an
// answer for one with nothing to tell; takes the name of a virus that has a colon for
// no answer at all; does not tell why clamd broke off; heeds the ctx only while it
// dials, and for FILDES no timeout at all, so that it would read the memory of a
// message that is gone; and reads answers without a bound. It dials by itself, so that
// none of the latter can be stopped from outside. What is in this file and answer.go is
// shorter than guards around all that would be, and has no goroutine that could be
// left behind. TestWhatTheLibraryGetsWrong shows what it is needed for.
//
// A clamd on this machine is handed an open file (FILDES), which takes 0.94 of the
// time of sending it the message (INSTREAM): for 10 KB 0.97 ms against 1.04, for 5 MB
// 154 ms against 163, with one signature; it saves clamd a file of its own. The
// library takes 1.1 times as long, as it sends pieces of 1 KB.

// scan has a message scanned by the first clamd that works, and returns the name of
// the virus in it, "" for none, and who said so. open reads the message from its
// beginning; it has size bytes.
func (c *child) scan(ctx context.Context, open func() io.Reader, size int64) (virus string, by peer.Addr, err error) {
	err = c.servers.Try(ctx, func(ctx context.Context, a peer.Addr) (err error) {
		milterkit.Progress(ctx) // each clamd has the whole of its time
		virus, err = c.scanAt(ctx, a, open, size)
		by = a
		return err
	})
	return virus, by, err
}

// scanAt has a message scanned by one clamd: handed over where that can be done,
// and sent to it where not, or where it may not read what it is handed.
func (c *child) scanAt(ctx context.Context, a peer.Addr, open func() io.Reader, size int64) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer in %s", c.Timeout))
	defer cancel()
	if a.Network == "unix" {
		virus, err := c.hand(ctx, a, open(), size)
		if err == nil || !errors.Is(err, errNotHanded) && !errors.As(err, new(answerError)) {
			return virus, err
		}
	}
	answer, err := exchange(ctx, a, func(conn net.Conn) error { return stream(conn, open()) })
	if err != nil {
		return "", err
	}
	return parseAnswer(answer)
}

// errNotHanded says that a message cannot be handed over, and must be sent.
var errNotHanded = errors.New("not handed over")

// exchange connects to clamd, sends it a command, and returns the answer. When ctx
// is done the connection is closed, so that nothing is read or written any more.
// Where not all was sent, no answer counts, but clamd may have said what it did not
// like.
func exchange(ctx context.Context, a peer.Addr, send func(net.Conn) error) (string, error) {
	conn, err := a.Dial(ctx)
	if err != nil {
		return "", because(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	sent := send(conn)
	answer, err := readAnswer(conn)
	switch {
	case sent == nil && err == nil:
		return answer, nil
	case sent == nil:
		return "", because(ctx, peer.Reason(err))
	case err == nil && strings.HasSuffix(answer, "ERROR"):
		_, err = parseAnswer(answer)
		return "", err
	}
	return "", because(ctx, fmt.Errorf("the connection broke while the message was sent: %w", peer.Reason(sent)))
}

// because is why ctx is done, where it is: what failed then did so for that.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// command is a command that ends with NUL, and is answered with one that does.
func command(c protocol.Command) string { return "z" + c.String() + "\x00" }

// stream sends a message with INSTREAM: pieces with their length before them, and an
// empty one at the end.
func stream(conn net.Conn, message io.Reader) error {
	w := bufio.NewWriter(conn)
	w.WriteString(command(protocol.Instream))
	if _, err := io.Copy(pieces{w}, message); err != nil {
		return err
	}
	w.Write([]byte{0, 0, 0, 0})
	return w.Flush()
}

// pieces writes each piece that it is given with its length before it. A big one is
// not copied.
type pieces struct{ w *bufio.Writer }

func (p pieces) Write(piece []byte) (int, error) {
	if len(piece) == 0 { // it would be the end
		return 0, nil
	}
	p.w.Write(binary.BigEndian.AppendUint32(p.w.AvailableBuffer(), uint32(len(piece))))
	return p.w.Write(piece)
}

// versionTime bounds the question for a version, which no message is to wait for.
const versionTime = time.Second

// askVersion returns the version of a clamd, such as "1.4.6", or "".
func askVersion(ctx context.Context, a peer.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	answer, err := exchange(ctx, a, func(conn net.Conn) error {
		_, err := io.WriteString(conn, command(protocol.Version))
		return err
	})
	version, ours := strings.CutPrefix(answer, "ClamAV ") // "ClamAV 1.4.6/27511/Mon Nov 23 09:12:00 2026"
	if err != nil || !ours {
		return ""
	}
	version, _, _ = strings.Cut(version, "/")
	return virusName(version)
}
