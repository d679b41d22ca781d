package greylist

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// A kind is a store that is to keep the contract.
type kind struct {
	name string
	make func(testing.TB, *miltertest.Clock) Store
}

var kinds = []kind{
	{"memory", func(testing.TB, *miltertest.Clock) Store { return &Memory{} }},
	{"disk", func(t testing.TB, clock *miltertest.Clock) Store {
		return NewDisk(filepath.Join(t.TempDir(), "greylist.db"), clock.Now)
	}},
	{"redis", func(t testing.TB, clock *miltertest.Clock) Store { return newRedis(t, miniredis.RunT(t).Addr()) }},
}

func newRedis(t testing.TB, addr string) Store {
	t.Helper()
	s, err := NewRedis("redis://"+addr+"/0", "test*:")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// each runs a test against every kind of store.
func each(t *testing.T, test func(*testing.T, Store, *miltertest.Clock)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			clock := &miltertest.Clock{}
			s := k.make(t, clock)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, s, clock)
		})
	}
}

var policy = Policy{Delay: 10 * time.Minute, RetryWindow: 48 * time.Hour, Lifetime: 7 * 24 * time.Hour}

var someKey = Key{"203.0.113.0/24", "alice@example.org", "bob@example.net"}

func mustCheck(t testing.TB, s Store, key Key, now time.Time, names ...string) Record {
	t.Helper()
	r, err := s.Check(t.Context(), Try{Key: key, Names: names, At: now}, policy)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func entries(t testing.TB, s Store, now time.Time) []Entry {
	t.Helper()
	var all []Entry
	for e, err := range s.Entries(t.Context(), now) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Recipient, b.Recipient), cmp.Compare(a.State, b.State))
	})
	return all
}

// What is new waits for the delay, passes then, and goes on to pass for the
// lifetime since its last use.
func TestATripletPassesAfterTheDelay(t *testing.T) {
	each(t, func(t *testing.T, s Store, clock *miltertest.Clock) {
		begin := clock.Now()
		for i, step := range []struct {
			after time.Duration
			state State
			tries int
		}{
			{0, Waiting, 1},
			{time.Minute, Waiting, 2},
			{9*time.Minute - time.Millisecond, Waiting, 3},
			{time.Millisecond, Passed, 4},
			{0, Passed, 5},
			{7*24*time.Hour - time.Millisecond, Passed, 6},
			{7*24*time.Hour - time.Millisecond, Passed, 7}, // by its use
			{7 * 24 * time.Hour, Waiting, 1},
			{48 * time.Hour, Waiting, 1}, // too late
			{48*time.Hour - time.Millisecond, Passed, 2},
		} {
			clock.Advance(step.after)
			r := mustCheck(t, s, someKey, clock.Now())
			if r.State != step.state || r.Tries != step.tries {
				t.Fatalf("try %d: %+v, want %v, %d tries", i, r, step.state, step.tries)
			}
			want := begin
			if i >= 7 {
				want = r.First
			}
			expires := r.First.Add(policy.RetryWindow)
			if r.State == Passed {
				expires = clock.Now().Add(policy.Lifetime)
			}
			if !r.First.Equal(want) || !r.Last.Equal(clock.Now()) || !r.Expires.Equal(expires) {
				t.Errorf("try %d at %v: %+v, want it to expire at %v", i, clock.Now(), r, expires)
			}
		}
	})
}

// Each part of the key counts, and the null sender is one.
func TestTripletsAreApart(t *testing.T) {
	each(t, func(t *testing.T, s Store, clock *miltertest.Clock) {
		keys := []Key{someKey, {"203.0.114.0/24", someKey.Sender, someKey.Recipient}, {someKey.Client, "", someKey.Recipient},
			{someKey.Client, someKey.Sender, "carol@example.net"}, {someKey.Client, "a b", "c"}, {someKey.Client, "a", "b c"}}
		for _, k := range keys {
			if r := mustCheck(t, s, k, clock.Now()); r.Tries != 1 {
				t.Errorf("%q: %+v", k, r)
			}
		}
		if got := entries(t, s, clock.Now()); len(got) != len(keys) {
			t.Errorf("there are %+v", got)
		}
	})
}

// A clock that is set back starts the wait anew, and never makes it longer.
func TestAClockThatIsSetBack(t *testing.T) {
	each(t, func(t *testing.T, s Store, clock *miltertest.Clock) {
		mustCheck(t, s, someKey, clock.Now())
		clock.Advance(-24 * time.Hour)
		if r := mustCheck(t, s, someKey, clock.Now()); r.State != Waiting || !r.First.Equal(clock.Now()) {
			t.Errorf("got %+v at %v", r, clock.Now())
		}
		clock.Advance(policy.Delay)
		if r := mustCheck(t, s, someKey, clock.Now()); r.State != Passed {
			t.Errorf("got %+v", r)
		}
	})
}

// A client that is allowed passes by any of its names, and nothing is recorded;
// until that is forgotten.
func TestAllowedClientsPass(t *testing.T) {
	each(t, func(t *testing.T, s Store, clock *miltertest.Clock) {
		since := clock.Now()
		for _, name := range []string{"203.0.113.0/28", "example.org"} {
			if err := s.Allow(t.Context(), name, since); err != nil {
				t.Fatal(err)
			}
		}
		clock.Advance(time.Hour)
		for _, names := range [][]string{{"203.0.113.7/32", "203.0.113.0/28"}, {"mx.example.org", "example.org"}} {
			if r := mustCheck(t, s, someKey, clock.Now(), names...); r != (Record{State: Allowed, First: since}) {
				t.Errorf("%v: %+v", names, r)
			}
		}
		if r := mustCheck(t, s, someKey, clock.Now(), "203.0.113.0/29", "org"); r.State != Waiting || r.Tries != 1 {
			t.Errorf("got %+v", r)
		}
		want := []Entry{{Key{Client: "203.0.113.0/28"}, Record{State: Allowed, First: since}}, {Key{Client: "example.org"}, Record{State: Allowed, First: since}}}
		got := slices.DeleteFunc(entries(t, s, clock.Now()), func(e Entry) bool { return e.State != Allowed })
		if !slices.Equal(got, want) {
			t.Errorf("allowed are %+v", got)
		}
		if n, err := s.Forget(t.Context(), append(want, want...)); n != 2 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		if r := mustCheck(t, s, someKey, clock.Now(), "example.org"); r.State != Waiting {
			t.Errorf("got %+v", r)
		}
	})
}

// What is forgotten is new again, and what has expired is not told of.
func TestForgetAndExpire(t *testing.T) {
	each(t, func(t *testing.T, s Store, clock *miltertest.Clock) {
		other := Key{"203.0.113.0/24", "", "carol@example.net"}
		first := mustCheck(t, s, someKey, clock.Now())
		clock.Advance(time.Hour)
		second := mustCheck(t, s, other, clock.Now())
		if got, want := entries(t, s, clock.Now()), []Entry{{other, second}, {someKey, first}}; !slices.Equal(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if n, err := s.Forget(t.Context(), []Entry{{someKey, first}, {Key: Key{Client: "there is none"}}}); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		clock.Advance(policy.RetryWindow - time.Millisecond)
		if got := entries(t, s, clock.Now()); !slices.Equal(got, []Entry{{other, second}}) {
			t.Errorf("got %+v", got)
		}
		clock.Advance(time.Millisecond)
		if got := entries(t, s, clock.Now()); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

// Of many that try at the same time each counts.
func TestTriesAtTheSameTimeAllCount(t *testing.T) {
	each(t, func(t *testing.T, s Store, clock *miltertest.Clock) {
		var wg sync.WaitGroup
		tries := make([]int, 20)
		for i := range tries {
			wg.Go(func() {
				r, err := s.Check(context.Background(), Try{Key: someKey, At: clock.Now()}, policy)
				if err != nil {
					t.Error(err)
				}
				tries[i] = r.Tries
			})
		}
		wg.Wait()
		slices.Sort(tries)
		for i, n := range tries {
			if n != i+1 {
				t.Fatalf("tries are %v", tries)
			}
		}
	})
}

// A closed store answers with an error, and closes twice.
func TestClosedStores(t *testing.T) {
	for _, k := range kinds[1:] {
		s := k.make(t, &miltertest.Clock{})
		s.Close()
		if _, err := s.Check(t.Context(), Try{Key: someKey}, policy); err == nil {
			t.Errorf("%s: no error", k.name)
		}
		for _, err := range s.Entries(t.Context(), time.Time{}) {
			if err == nil {
				t.Errorf("%s: no error", k.name)
			}
		}
		s.Close()
	}
}

// All stores answer the same to whatever is asked, and have the same to tell.
func TestStoresAgree(t *testing.T) {
	clock := &miltertest.Clock{}
	var stores []Store
	for _, k := range kinds {
		s := k.make(t, clock)
		defer s.Close()
		stores = append(stores, s)
	}
	rapid.Check(t, func(r *rapid.T) {
		for _, s := range stores {
			if _, err := s.Forget(context.Background(), entries(t, s, time.Time{})); err != nil {
				r.Fatal(err)
			}
		}
		p := Policy{
			Delay:       time.Duration(rapid.IntRange(1, 20).Draw(r, "delay")) * time.Second,
			RetryWindow: time.Duration(rapid.IntRange(21, 60).Draw(r, "window")) * time.Second,
			Lifetime:    time.Duration(rapid.IntRange(1, 60).Draw(r, "lifetime")) * time.Second,
		}
		one := rapid.Custom(func(r *rapid.T) Key {
			return Key{rapid.SampledFrom([]string{"192.0.2.0/24", "spf:a.example"}).Draw(r, "client"), rapid.SampledFrom([]string{"", "é@a", "a b@c'\"*"}).Draw(r, "sender"), "r@b"}
		})
		name := rapid.SampledFrom([]string{"192.0.2.0/25", "a.example", "b"})
		for i := range rapid.IntRange(1, 25).Draw(r, "steps") {
			clock.Advance(time.Duration(rapid.IntRange(0, 30_000).Draw(r, "ms")) * time.Millisecond)
			ask := func(Store) (string, error) { return "", nil }
			switch rapid.IntRange(0, 9).Draw(r, "what") {
			default:
				try := Try{one.Draw(r, "key"), rapid.SliceOfN(name, 0, 1).Draw(r, "names"), clock.Now()}
				ask = func(s Store) (string, error) {
					rec, err := s.Check(context.Background(), try, p)
					return fmt.Sprintf("%+v", rec), err
				}
			case 0:
				allowed := name.Draw(r, "allow")
				ask = func(s Store) (string, error) { return "", s.Allow(context.Background(), allowed, clock.Now()) }
			case 1:
				list := []Entry{{Key: one.Draw(r, "forget")}, {Key{Client: name.Draw(r, "no more")}, Record{State: Allowed}}}
				ask = func(s Store) (string, error) {
					_, err := s.Forget(context.Background(), list) // one may count what another has removed
					return "", err
				}
			case 2:
				ask = func(s Store) (string, error) { return fmt.Sprintf("%+v", entries(t, s, clock.Now())), nil }
			}
			var first string
			for j, s := range stores {
				got, err := ask(s)
				if err != nil {
					r.Fatalf("step %d: %s: %v", i, kinds[j].name, err)
				}
				if j == 0 {
					first = got
				} else if got != first {
					r.Fatalf("step %d: %s: %s\n%s: %s", i, kinds[0].name, first, kinds[j].name, got)
				}
			}
		}
	})
}

// Two connections to one Redis are one memory.
func TestTwoOnOneRedisAgree(t *testing.T) {
	server := miniredis.RunT(t)
	a, b := newRedis(t, server.Addr()), newRedis(t, server.Addr())
	defer a.Close()
	defer b.Close()
	clock := &miltertest.Clock{}
	mustCheck(t, a, someKey, clock.Now())
	clock.Advance(policy.Delay)
	if r := mustCheck(t, b, someKey, clock.Now()); r.State != Passed || r.Tries != 2 {
		t.Errorf("the other has %+v", r)
	}
	if r := mustCheck(t, a, someKey, clock.Now()); r.State != Passed || r.Tries != 3 {
		t.Errorf("the first has %+v", r)
	}
	// Redis forgets by itself.
	server.FastForward(policy.Lifetime)
	if keys := server.Keys(); len(keys) != 0 {
		t.Errorf("there are still %q", keys)
	}
}

func TestParseClient(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.0/24": "192.0.2.0/24", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:DB8::/32": "2001:db8::/32",
		"::ffff:192.0.2.0/120": "192.0.2.0/24", "0.0.0.0/0": "0.0.0.0/0",
		"Example.ORG": "example.org", ".example.org": "example.org", "example.org.": "example.org", "a_b.example": "a_b.example",
		"192.0.2.7/24": "", "192.0.2": "", "192.0.2.256": "", "": "", "a b": "", "bob@example.org": "", "*.example.org": "", "a..b": "",
	} {
		got, err := ParseClient(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseClient(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24", "2001:db8::1%eth0", "example.org", "xn--a.example."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := ParseClient(text)
		if err != nil {
			return
		}
		if again, err := ParseClient(name); err != nil || again != name {
			t.Errorf("%q is %q, which is %q, %v", text, name, again, err)
		}
	})
}

// An entry is found by all that it is about.
func TestMatches(t *testing.T) {
	e := Entry{Key: someKey}
	spf := Entry{Key: Key{"spf:example.org", "alice@example.org", "bob@example.net"}}
	allowed := Entry{Key{Client: "mail.example.com"}, Record{State: Allowed}}
	for _, c := range []struct {
		e    Entry
		what string
		want bool
	}{
		{e, "203.0.113.0/24", true}, {e, "203.0.113.9", true}, {e, "203.0.0.0/16", true}, {e, "203.0.114.9", false},
		{e, "Alice@Example.org", true}, {e, "bob@example.net", true}, {e, "lice@example.org", false},
		{e, "example.org", true}, {e, "@example.net", true}, {e, "example", false}, {e, "", false},
		{spf, "spf:example.org", true}, {spf, "example.org", true}, {spf, "203.0.113.9", false},
		{allowed, "mail.example.com", true}, {allowed, "example.com", true}, {allowed, "example.org", false},
	} {
		if got := c.e.Matches(c.what); got != c.want {
			t.Errorf("%+v, %q: %v", c.e.Key, c.what, got)
		}
	}
}
