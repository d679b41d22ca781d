package peer

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

var a, b, c = Addr{"unix", "/a"}, Addr{"unix", "/b"}, Addr{"unix", "/c"}

// asked has the servers asked once, those in down fail, and returns who was asked.
func asked(t *testing.T, l *List, down ...Addr) (order []Addr, err error) {
	t.Helper()
	err = l.Try(t.Context(), func(_ context.Context, addr Addr) error {
		order = append(order, addr)
		if slices.Contains(down, addr) {
			return errors.New("is down")
		}
		return nil
	})
	return order, err
}

func wantAsked(t *testing.T, l *List, down []Addr, want ...Addr) {
	t.Helper()
	if order, _ := asked(t, l, down...); !slices.Equal(order, want) {
		t.Errorf("asked %v, want %v", order, want)
	}
}

func TestTheFirstThatWorksIsAsked(t *testing.T) {
	l := NewList([]Addr{a, b, c}, nil)
	wantAsked(t, l, nil, a)
	wantAsked(t, l, []Addr{a, b}, a, b, c)
}

func TestOneThatHasFailedIsTriedLastForAWhile(t *testing.T) {
	var clock miltertest.Clock
	l := NewList([]Addr{a, b}, clock.Now)
	wantAsked(t, l, []Addr{a}, a, b)
	wantAsked(t, l, nil, b)
	clock.Advance(Penalty - 1)
	wantAsked(t, l, []Addr{b}, b, a)
	wantAsked(t, l, nil, a) // a has worked meanwhile
	clock.Advance(Penalty)
	wantAsked(t, l, []Addr{a}, a, b)
	clock.Advance(Penalty)
	wantAsked(t, l, nil, a)
}

func TestWhereAllHaveFailedAllAreTried(t *testing.T) {
	l := NewList([]Addr{a, b}, nil)
	wantAsked(t, l, []Addr{a, b}, a, b)
	wantAsked(t, l, []Addr{a, b}, a, b)
	wantAsked(t, l, nil, a)
}

// While one message finds out whether a server works again, the others do not wait
// for it.
func TestOneMessageFindsOutWhetherAServerWorksAgain(t *testing.T) {
	var clock miltertest.Clock
	l := NewList([]Addr{a, b}, clock.Now)
	wantAsked(t, l, []Addr{a}, a, b)
	clock.Advance(Penalty)
	l.Try(t.Context(), func(_ context.Context, addr Addr) error {
		if addr == a {
			wantAsked(t, l, nil, b)
		}
		return nil
	})
}

func TestTheErrorNamesAllThatWereTried(t *testing.T) {
	_, err := asked(t, NewList([]Addr{a, b}, nil), a, b)
	if want := "unix:/a: is down; unix:/b: is down"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNobodyElseIsAskedWhenTheTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var n int
	err := NewList([]Addr{a, b}, nil).Try(ctx, func(ctx context.Context, _ Addr) error {
		n++
		cancel()
		return ctx.Err()
	})
	if n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d asked, %v", n, err)
	}
}

func TestAListServesMany(t *testing.T) {
	l := NewList([]Addr{a, b, c}, nil)
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l.Try(t.Context(), func(context.Context, Addr) error {
					if calls.Add(1)%2 == 0 {
						return errors.New("is down")
					}
					return nil
				})
			}
		})
	}
	wg.Wait()
}

func TestDialSaysWhyNotInFewWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	if _, err := (Addr{"unix", path}).Dial(t.Context()); err == nil || err.Error() != "cannot connect: no such file or directory" {
		t.Error(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := (Addr{"unix", path}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// A session that ends while it waits says nothing of the server, which is asked first
// again.
func TestWhoGoesAwayDoesNotCount(t *testing.T) {
	l := NewList([]Addr{{"tcp", "a:1"}, {"tcp", "b:1"}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	err := l.Try(ctx, func(context.Context, Addr) error {
		cancel()
		return context.Canceled
	})
	if err == nil {
		t.Error("no error")
	}
	var first Addr
	l.Try(context.Background(), func(_ context.Context, a Addr) error {
		first = a
		return nil
	})
	if first.Addr != "a:1" {
		t.Errorf("%s is asked first", first)
	}
}
