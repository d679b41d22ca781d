package milterkit

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/milterkit/sdk/internal/socket"
)

// ListenAndServe serves MTAs at an address as Postfix writes it, such as
// "inet:8890@127.0.0.1" or "unix:/run/my/filter.sock", with a Server and a
// Dispatcher of which nothing else is set. It always returns a non-nil error. A unix
// socket has mode 0660; one that nobody listens on is replaced.
func ListenAndServe(addr string, slots ...Slot) error {
	d, err := NewDispatcher(slots...)
	if err != nil {
		return err
	}
	ln, err := listen(addr)
	if err != nil {
		return fmt.Errorf("milterkit: %s: %w", addr, err)
	}
	return (&Server{Dispatcher: d}).Serve(ln)
}

func listen(addr string) (net.Listener, error) {
	at, err := socket.Parse(addr)
	switch {
	case err != nil:
		return nil, err
	case at.Network == "systemd":
		return nil, errors.New("a socket of systemd's is served by the daemon only")
	case at.Network != "unix":
		ln, err := net.Listen(at.Network, at.Addr)
		return ln, socket.Reason(err)
	}
	if err := socket.MakeWay(at.Addr); err != nil {
		return nil, err
	}
	ln, err := net.Listen(at.Network, at.Addr)
	if err != nil {
		return nil, socket.Reason(err)
	}
	if err := os.Chmod(at.Addr, 0o660); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
