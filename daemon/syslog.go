package daemon

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// syslogPaths are where the system's log listens.
var syslogPaths = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

const (
	facilityMail = 2 << 3 // LOG_MAIL

	// maxSyslogLine is what rsyslog takes where it is told nothing else.
	maxSyslogLine = 8 << 10

	// syslogPatience bounds how long a log that is stuck can hold up mail;
	// package log/syslog would wait for ever. What it does not take in that
	// time goes to stderr, and it is asked again after syslogPause.
	syslogPatience = 200 * time.Millisecond
	syslogPause    = time.Second
)

// syslogOut writes lines to the system's log. It connects when there is
// something to say, and again when the log has been restarted.
type syslogOut struct {
	paths    []string
	fallback io.Writer // for what the log does not take

	conn   net.Conn
	stream bool      // lines need an end
	after  time.Time // not to be asked again before
}

// send writes one line. Calls must not overlap.
func (s *syslogOut) send(severity int, line []byte) {
	if len(line) > maxSyslogLine {
		line = append(bytes.ToValidUTF8(line[:maxSyslogLine], nil), "…"...)
	}
	now := time.Now()
	// Source: RFC 3164 section 4.1, without a host name, as syslog(3) does.
	record := fmt.Appendf(nil, "<%d>%s milterkit[%d]: %s", facilityMail|severity, now.Format(time.Stamp), os.Getpid(), line)
	if now.After(s.after) {
		if s.conn != nil && s.write(record) == nil {
			return
		}
		if s.connect() == nil && s.write(record) == nil {
			return
		}
		s.after = time.Now().Add(syslogPause)
	}
	fmt.Fprintf(s.fallback, "%s\n", line)
}

func (s *syslogOut) write(record []byte) error {
	if s.stream {
		record = append(record[:len(record):len(record)], '\n')
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(syslogPatience))
	if err == nil {
		_, err = s.conn.Write(record)
	}
	if err != nil {
		s.conn.Close()
		s.conn = nil
	}
	return err
}

func (s *syslogOut) connect() error {
	err := fmt.Errorf("no socket to try")
	for _, network := range []string{"unixgram", "unix"} {
		for _, path := range s.paths {
			if s.conn, err = net.DialTimeout(network, path, syslogPatience); err == nil {
				s.stream = network == "unix"
				return nil
			}
		}
	}
	s.conn = nil
	return err
}
