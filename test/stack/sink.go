package stack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// sink is an SMTP server that takes all mail, and keeps it as it came.
type sink struct {
	listener net.Listener
	served   sync.WaitGroup

	mu    sync.Mutex
	mails map[string][]sunk // by the queue id in the sender's Received
	conns map[net.Conn]bool
}

// sunk is a message that the sink has taken.
type sunk struct {
	from    string   // what stood behind MAIL FROM:, with parameters
	to      []string // ... and behind each RCPT TO:
	content []byte   // with CRLF, without the doubled dots
}

func (s *sink) start() error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listener, s.conns, s.mails = l, make(map[net.Conn]bool), make(map[string][]sunk)
	s.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed by stop
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			s.served.Go(func() {
				s.serve(conn)
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
				conn.Close()
			})
		}
	})
	return nil
}

func (s *sink) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *sink) stop() error {
	if s.listener == nil {
		return nil
	}
	err := s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.served.Wait()
	return err
}

// serve has one SMTP session. It offers what keeps a message as it is.
func (s *sink) serve(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64<<10)
	reply := func(text string) bool {
		_, err := io.WriteString(conn, text+"\r\n")
		return err == nil
	}
	var m sunk
	for ok := reply("220 sink.example.test ESMTP"); ok; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, arg, _ := strings.Cut(line, ":")
		switch verb = strings.ToUpper(verb); {
		case strings.HasPrefix(verb, "EHLO "):
			ok = reply("250-sink.example.test\r\n250-8BITMIME\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES")
		case verb == "MAIL FROM":
			m = sunk{from: arg}
			ok = reply("250 2.1.0 fine")
		case verb == "RCPT TO":
			m.to = append(m.to, arg)
			ok = reply("250 2.1.5 fine")
		case verb == "DATA":
			if ok = reply("354 go on"); !ok {
				return
			}
			if m.content, err = readData(r); err != nil {
				return
			}
			s.keep(m)
			ok = reply("250 2.0.0 taken")
		case verb == "QUIT":
			reply("221 2.0.0 bye")
			return
		default: // RSET, NOOP
			ok = reply("250 2.0.0 fine")
		}
	}
}

// readData reads a message up to the dot.
func readData(r *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	for {
		line, err := r.ReadSlice('\n')
		whole := err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		atStart := b.Len() == 0 || bytes.HasSuffix(b.Bytes(), []byte("\r\n"))
		if atStart && len(line) > 0 && line[0] == '.' {
			if whole && string(line) == ".\r\n" {
				return b.Bytes(), nil
			}
			line = line[1:]
		}
		b.Write(line)
	}
}

// keep files a message.
func (s *sink) keep(m sunk) {
	head, _, _ := bytes.Cut(m.content, []byte("\r\n\r\n"))
	id := ""
	if found := sentID.FindSubmatch(head); found != nil {
		id = string(found[1])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails[id] = append(s.mails[id], m)
}

// copies are the copies of a message by its queue id, as a delivery agent would
// write them: the envelope in two fields before the message.
func (s *sink) copies(id string) []Copy {
	s.mu.Lock()
	defer s.mu.Unlock()
	var copies []Copy
	for _, m := range s.mails[id] {
		from, fromParams, _ := strings.Cut(m.from, " ")
		content := bytes.ReplaceAll(m.content, []byte("\r\n"), []byte("\n"))
		for _, to := range m.to {
			to, params, _ := strings.Cut(to, " ")
			to = strings.Trim(to, "<>")
			copies = append(copies, Copy{
				To:      to,
				Params:  strings.TrimSpace(fromParams + " / " + params),
				Content: fmt.Appendf(nil, "Return-Path: %s\nDelivered-To: %s\n%s", from, to, content),
			})
		}
	}
	return copies
}
