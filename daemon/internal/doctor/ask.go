package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/milterkit/sdk/internal/socket"
	"github.com/milterkit/sdk/milterkit/wire"
)

// Of a question, and of the look at who answers in place of a milter.
const (
	askTime   = 3 * time.Second
	sniffTime = 500 * time.Millisecond
	sniffSize = 512
)

// An Answer is what a milter agrees to, or who it is that is none.
type Answer struct {
	Version  uint32       `json:"version"` // 0: it has not agreed
	Actions  wire.Actions `json:"actions"`
	Steps    wire.Steps   `json:"steps"`
	Stranger string       `json:"stranger,omitempty"` // "clamd", "spamd", "an SMTP server", …
	Denied   bool         `json:"denied,omitempty"`
	Gone     bool         `json:"gone,omitempty"`    // nothing is there, or nobody listens
	Unnamed  bool         `json:"unnamed,omitempty"` // the name of its host is not known
	Error    string       `json:"error,omitempty"`   // "" where it agrees
}

// Text is the answer as one line of JSON, which ParseAnswer reads.
func (a Answer) Text() string {
	text, _ := json.Marshal(a) // of numbers, strings and truths
	return string(text)
}

// ParseAnswer reads the text of an answer.
func ParseAnswer(text []byte) (a Answer, err error) {
	err = json.Unmarshal(text, &a)
	return a, err
}

// Ask connects to a milter, offers it what an MTA would, and says goodbye.
func Ask(ctx context.Context, at socket.Addr, offer wire.Negotiation) Answer {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	got, err := ask(ctx, at, offer)
	switch {
	case err == nil:
		return Answer{Version: got.Version, Actions: got.Actions, Steps: got.Steps}
	case errors.Is(err, errAsking):
		return Answer{Stranger: stranger(at), Error: err.Error()}
	}
	a := Answer{Error: socket.Reason(err).Error()}
	a.Denied, a.Gone = deniedOrGone(err)
	_, a.Unnamed = errors.AsType[*net.DNSError](err)
	return a
}

// deniedOrGone reports what it means that a socket cannot be dialled.
func deniedOrGone(err error) (denied, gone bool) {
	return errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// errAsking is of an error that came after the connection was there.
var errAsking = errors.New("it has not agreed to be spoken with")

func ask(ctx context.Context, at socket.Addr, offer wire.Negotiation) (n wire.Negotiation, err error) {
	nc, err := new(net.Dialer).DialContext(ctx, at.Network, at.Addr)
	if err != nil {
		return n, err
	}
	defer nc.Close()
	if by, ok := ctx.Deadline(); ok {
		nc.SetDeadline(by)
	}
	fail := func(err error) (wire.Negotiation, error) {
		return n, fmt.Errorf("%w: %w", errAsking, socket.Reason(err))
	}
	if _, err := nc.Write(offer.Append(nil)); err != nil {
		return fail(err)
	}
	f, err := wire.NewReader(nc, make([]byte, 4096)).Next()
	switch {
	case errors.Is(err, io.EOF):
		return fail(errors.New("it closes the connection"))
	case err != nil:
		return fail(err)
	case f.Code != wire.CmdNegotiate:
		return fail(fmt.Errorf("it answers %q", f.Code))
	}
	if n, err = wire.ParseNegotiation(f.Payload); err != nil {
		return fail(err)
	}
	nc.Write(wire.AppendFrame(nil, wire.CmdQuit, nil)) // it is all the same whether it hears that
	return n, nil
}

// words are what servers are asked to be known by: clamd and Redis by PING, spamd too
// by not liking it.
var words = []string{"", "PING\r\n", "GET / HTTP/1.0\r\n\r\n"}

// stranger says who it is that answers at an address, "" where that is not known.
func stranger(at socket.Addr) string {
	answers := make([]string, len(words))
	var all sync.WaitGroup
	for i, word := range words {
		all.Go(func() { answers[i] = firstWords(at, word) })
	}
	all.Wait()
	for _, answer := range answers {
		if name := strangerBy(answer); name != "" {
			return name
		}
	}
	return ""
}

func strangerBy(answer string) string {
	upper := strings.ToUpper(answer)
	switch {
	case strings.HasPrefix(upper, "220"), strings.HasPrefix(upper, "421 "), strings.HasPrefix(upper, "554"):
		return "an SMTP server"
	case strings.HasPrefix(upper, "SPAMD/"):
		return "spamd"
	case strings.HasPrefix(upper, "PONG"), strings.HasPrefix(upper, "UNKNOWN COMMAND"):
		return "clamd"
	case strings.HasPrefix(upper, "+PONG"), strings.HasPrefix(upper, "-NOAUTH"):
		return "a Redis server"
	case strings.HasPrefix(upper, "* OK"):
		return "an IMAP server"
	case strings.HasPrefix(upper, "HTTP/") && strings.Contains(upper, "RSPAMD"):
		return "a worker of rspamd that speaks HTTP"
	case strings.HasPrefix(upper, "HTTP/"):
		return "an HTTP server"
	case strings.HasPrefix(upper, "\x15\x03"), strings.HasPrefix(upper, "\x16\x03"):
		return "a server that speaks TLS"
	}
	return ""
}

// firstWords is how a server answers a word, or greets.
func firstWords(at socket.Addr, word string) string {
	nc, err := net.DialTimeout(at.Network, at.Addr, sniffTime)
	if err != nil {
		return ""
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(sniffTime))
	if _, err := io.WriteString(nc, word); err != nil {
		return ""
	}
	piece, _ := bufio.NewReaderSize(nc, sniffSize).Peek(sniffSize) // as much as comes
	return string(piece)
}
