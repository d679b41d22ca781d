package stack

import (
	"fmt"
	"strconv"
)

// Redis is a Redis server that keeps nothing on disk.
type Redis struct {
	Root *Root

	port int
	daemon
}

// URL is where it answers.
func (s *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// Start implements [Component].
func (s *Redis) Start() error {
	dir, err := s.Root.mkdir("redis")
	if err != nil {
		return err
	}
	if s.port, err = s.Root.FreePort(); err != nil {
		return err
	}
	s.grace = stopLimit
	if err := s.launch(s.Root, "redis", dir, s.Root.nobody(), nil, "redis-server", "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", dir); err != nil {
		return err
	}
	return s.connects("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
}
