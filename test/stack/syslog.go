package stack

import (
	"errors"
	"net"
	"os"
	"sync"
)

// syslog takes what a daemon logs at a socket of its own, and writes it to a
// file, a line for each record.
type syslog struct {
	conn   *net.UnixConn
	served sync.WaitGroup
}

func (s *syslog) start(socket, file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return errors.Join(err, out.Close())
	}
	s.conn = conn
	s.served.Go(func() {
		defer out.Close()
		record := make([]byte, 64<<10)
		for {
			n, err := conn.Read(record[:len(record)-1])
			if err != nil {
				return // closed by stop
			}
			out.Write(append(record[:n], '\n'))
		}
	})
	return os.Chmod(socket, 0o666)
}

func (s *syslog) stop() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.served.Wait()
	return err
}
