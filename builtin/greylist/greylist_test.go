package greylist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/builtin/spf"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// kept is a store that its child does not close.
type kept struct{ Store }

func (kept) Close() error { return nil }

// The store is one for all children of the kit: to make hundreds of files would
// take long.
func TestRules(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			clock := &miltertest.Clock{}
			store := k.make(t, clock)
			defer store.Close()
			mustCheck(t, store, someKey, clock.Now())
			miltertest.ChildTest{
				New: func() milterkit.Child {
					o := Defaults
					o.Store, o.Clock, o.Logger = kept{store}, clock.Now, discard()
					return mustNew(t, o)
				},
				Remembers: true,
			}.Run(t)
		})
	}
}

func mustNew(t testing.TB, o Options) milterkit.Child {
	t.Helper()
	child, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// A rig is a greylist child behind a dispatcher, and a clock.
type rig struct {
	*miltertest.Clock
	t testing.TB
	d *milterkit.Dispatcher
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{Clock: &miltertest.Clock{}, t: t}
	o := Defaults
	o.Store, o.Clock, o.Logger = &Memory{}, r.Now, discard()
	if change != nil {
		change(&o)
	}
	child := mustNew(t, o)
	t.Cleanup(func() { child.(*Greylist).Close() })
	var err error
	if r.d, err = milterkit.NewDispatcher(milterkit.Slot{Child: child, DefaultAction: milterkit.DefaultReject}); err != nil {
		t.Fatal(err)
	}
	r.d.Logger = discard()
	return r
}

// A letter is an attempt; its zero values are those of a common one.
type letter struct {
	host, addr string // "-": a client on a unix socket
	from, to   string
	user       string // authenticated
	resolve    string // the macro client_resolve
}

// try returns what the client is told at RCPT, "" where it is let through.
func (r *rig) try(l letter) string {
	r.t.Helper()
	w := r.d.Walk(0)
	defer w.Close()
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	ctx := context.Background()
	if l.resolve != "" {
		w.Macros(milterkit.StageConnect, pairs("{client_resolve}", l.resolve))
	}
	family, addr := milterkit.FamilyUnix, "/run/s"
	if l.addr != "-" {
		addr = or(l.addr, "203.0.113.7")
		if family = milterkit.FamilyInet; strings.Contains(addr, ":") {
			family = milterkit.FamilyInet6
		}
	}
	if v := w.Connect(ctx, or(l.host, "unknown"), family, addr, 25); v.Final() {
		r.t.Fatal(v)
	}
	w.Helo(ctx, "client.example")
	if l.user != "" {
		w.Macros(milterkit.StageMail, pairs("{auth_authen}", l.user))
	}
	if v := w.Mail(ctx, milterkit.NewAddress(or(l.from, "<alice@example.org>"))); v.Final() {
		r.t.Fatal(v)
	}
	v := w.Rcpt(ctx, milterkit.NewAddress(or(l.to, "<bob@example.net>")))
	code, text := v.SMTP()
	if code == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", code, text)
}

func pairs(name, value string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) { yield(name, value) }
}

func (r *rig) wants(l letter, reply string) {
	r.t.Helper()
	if got := r.try(l); got != reply {
		r.t.Errorf("%+v: %q, want %q", l, got, reply)
	}
}

const full = "451 4.7.1 Greylisted, try again in 600 seconds"

// The client is told how long it is to wait; then it passes, and is forgotten when
// nothing comes for a week.
func TestPutOffThenAccepted(t *testing.T) {
	r := newRig(t, nil)
	r.wants(letter{}, full)
	r.Advance(9*time.Minute + 59500*time.Millisecond - 59*time.Second)
	r.wants(letter{}, "451 4.7.1 Greylisted, try again in 60 seconds") // too early, and no fault
	r.Advance(59 * time.Second)
	r.wants(letter{}, "451 4.7.1 Greylisted, try again in 1 seconds")
	r.Advance(time.Second)
	r.wants(letter{}, "")
	r.Advance(6 * 24 * time.Hour)
	r.wants(letter{}, "")
	r.Advance(6 * 24 * time.Hour)
	r.wants(letter{}, "")
	r.Advance(7 * 24 * time.Hour)
	r.wants(letter{}, full)
}

// A client that comes too late is new.
func TestTooLateIsNew(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RetryWindow = time.Hour })
	r.wants(letter{}, full)
	r.Advance(time.Hour)
	r.wants(letter{}, full)
	r.Advance(time.Hour - time.Second)
	r.wants(letter{}, "")
}

func TestTimesCanBeSet(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Delay, o.Lifetime = time.Minute, time.Hour })
	r.wants(letter{}, "451 4.7.1 Greylisted, try again in 60 seconds")
	r.Advance(time.Minute)
	r.wants(letter{}, "")
	r.Advance(time.Hour)
	r.wants(letter{}, "451 4.7.1 Greylisted, try again in 60 seconds")
}

// Clients of one network are one, and capitals make no difference.
func TestWhatIsTheSameTriplet(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, then letter
		same        bool
		change      func(*Options)
	}{
		{"one network", letter{addr: "203.0.113.7"}, letter{addr: "203.0.113.200"}, true, nil},
		{"two networks", letter{addr: "203.0.113.7"}, letter{addr: "203.0.114.7"}, false, nil},
		{"a shorter one", letter{addr: "203.0.113.7"}, letter{addr: "203.0.200.7"}, true, func(o *Options) { o.IPv4Prefix = 16 }},
		{"each address", letter{addr: "203.0.113.7"}, letter{addr: "203.0.113.8"}, false, func(o *Options) { o.IPv4Prefix = 32 }},
		{"one of IPv6", letter{addr: "IPv6:2001:db8::1"}, letter{addr: "2001:db8::ffff:2"}, true, nil},
		{"two of IPv6", letter{addr: "2001:db8::1"}, letter{addr: "2001:db8:0:1::1"}, false, nil},
		{"a shorter one of IPv6", letter{addr: "2001:db8::1"}, letter{addr: "2001:db8:0:1::1"}, true, func(o *Options) { o.IPv6Prefix = 48 }},
		{"IPv4 within IPv6", letter{addr: "::ffff:203.0.113.7"}, letter{addr: "203.0.113.8"}, true, nil},
		{"capitals", letter{from: "<Alice@Example.ORG>"}, letter{to: "<BOB@example.net>"}, true, nil},
		{"another sender", letter{}, letter{from: "<carol@example.org>"}, false, nil},
		{"the null sender", letter{from: "<>"}, letter{from: "<>"}, true, nil},
		{"not the null sender", letter{}, letter{from: "<>"}, false, nil},
		{"another recipient", letter{}, letter{to: "<carol@example.net>"}, false, nil},
		{"another name", letter{host: "a.example"}, letter{host: "b.example"}, true, nil},
		{"long addresses", letter{from: "<" + strings.Repeat("a", 4000) + "b>"}, letter{from: "<" + strings.Repeat("a", 5000) + "c>"}, true, nil},
	} {
		r := newRig(t, c.change)
		r.wants(c.first, full)
		r.Advance(10 * time.Minute)
		if c.same {
			r.wants(c.then, "")
		} else {
			r.wants(c.then, full)
		}
	}
}

// Each recipient of a message is put off alone.
func TestEachRecipientIsPutOffAlone(t *testing.T) {
	r := newRig(t, func(o *Options) { o.ExceptRecipients = []string{"carol@example.net"} })
	ctx := t.Context()
	w := r.d.Walk(0)
	defer w.Close()
	w.Connect(ctx, "unknown", milterkit.FamilyInet, "203.0.113.7", 25)
	w.Helo(ctx, "client.example")
	w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
	if v := w.Rcpt(ctx, milterkit.NewAddress("<bob@example.net>")); v.Kind() != milterkit.KindTempFail {
		t.Error(v)
	}
	if v := w.Rcpt(ctx, milterkit.NewAddress("<carol@example.net>")); v != milterkit.Continue {
		t.Error(v)
	}
	if v := w.Data(ctx); v != milterkit.Continue {
		t.Error(v)
	}
}

// Our own users, and mail from this machine, are never put off.
func TestWhoIsNeverPutOff(t *testing.T) {
	r := newRig(t, nil)
	for _, l := range []letter{{user: "alice"}, {addr: "-"}, {addr: "127.0.0.1"}, {addr: "::1"}, {addr: "::ffff:127.0.0.1"}, {addr: "unknown"}} {
		r.wants(l, "")
	}
}

// Clients of the list are not put off, by address or by the name that the MTA
// vouches for.
func TestAllowedClients(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Allow = []string{"192.0.2.0/25", "2001:db8::7", "Example.com"} })
	for _, c := range []struct {
		letter
		pass bool
	}{
		{letter{addr: "192.0.2.127"}, true},
		{letter{addr: "192.0.2.128"}, false},
		{letter{addr: "2001:db8::7"}, true},
		{letter{addr: "2001:db8:1::8"}, false},
		{letter{host: "Mail.Example.com"}, true},
		{letter{host: "example.com."}, true},
		{letter{host: "mail.example.com", resolve: "OK"}, true},
		{letter{host: "mail.example.com", resolve: "FORGED"}, false},
		{letter{host: "notexample.com", to: "<other@example.net>"}, false},
	} {
		if got := r.try(c.letter) == ""; got != c.pass {
			t.Errorf("%+v: let through %v", c.letter, got)
		}
	}
}

// So are those that the store allows.
func TestClientsThatTheStoreAllows(t *testing.T) {
	store := &Memory{}
	r := newRig(t, func(o *Options) { o.Store = store })
	for _, text := range []string{"192.0.2.0/25", "2001:db8::/32", "example.com"} {
		name, err := ParseClient(text)
		if err == nil {
			err = store.Allow(t.Context(), name, r.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []letter{{addr: "192.0.2.7"}, {addr: "2001:db8:7::1"}, {host: "a.b.c.example.com"}, {host: "example.com"}} {
		r.wants(l, "")
	}
	r.wants(letter{addr: "192.0.2.200", host: "example.com.example.org"}, full)
	if err := store.Allow(t.Context(), "0.0.0.0/0", r.Now()); err != nil {
		t.Fatal(err)
	}
	r.wants(letter{addr: "192.0.2.200"}, "")
}

// Recipients are put off if the list has them, or all, but for those of the other
// list.
func TestRecipientsCanBeChosen(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Recipients, o.ExceptRecipients = []string{"Example.net", "bob@example.com"}, []string{"postmaster@example.net", "example.com"}
	})
	for to, pass := range map[string]bool{
		"<bob@EXAMPLE.net>": false, "<Postmaster@example.net>": true, "<bob@example.com>": true, "<bob@example.org>": true, "<bob@sub.example.net>": true, "<bob>": true,
	} {
		if got := r.try(letter{to: to}) == ""; got != pass {
			t.Errorf("%s: let through %v", to, got)
		}
	}
}

// spfOf is an SPF that knows which addresses may send for a domain.
func spfOf(asked *int, networks map[string]string) func(context.Context, *milterkit.Envelope) (bool, error) {
	return func(_ context.Context, e *milterkit.Envelope) (bool, error) {
		*asked++
		network := networks[e.Sender.Domain()]
		if network == "" {
			return true, errors.New("no answer") // the answer beside an error does not count
		}
		return netip.MustParsePrefix(network).Contains(e.Client().Addr()), nil
	}
}

// The mail of a trusted domain is not put off where SPF says that it is that
// domain's.
func TestTrustedDomains(t *testing.T) {
	asked := 0
	r := newRig(t, func(o *Options) {
		o.Trusted = []string{"Example.org", "broken.example"}
		o.SPF = spfOf(&asked, map[string]string{"example.org": "192.0.2.0/24", "example.com": "192.0.2.0/24"})
	})
	r.wants(letter{addr: "192.0.2.7"}, "")
	r.wants(letter{addr: "203.0.113.7"}, full)
	r.wants(letter{addr: "192.0.2.7", from: "<alice@broken.example>"}, full)
	if asked != 3 {
		t.Errorf("SPF was asked %d times", asked)
	}
	r.wants(letter{addr: "192.0.2.7", from: "<alice@example.com>"}, full)
	r.wants(letter{addr: "192.0.2.7", from: "<alice@sub.example.org>"}, full)
	r.wants(letter{addr: "192.0.2.7", from: "<>"}, full)
	if asked != 3 {
		t.Errorf("SPF was asked about what is not trusted")
	}
}

// Package spf serves, and is asked where nothing else is given.
func TestSPFIsChecked(t *testing.T) {
	records := &miltertest.Resolver{Zone: map[string]miltertest.Records{"example.org": {TXT: []string{"v=spf1 ip4:192.0.2.0/24 -all"}}}}
	r := newRig(t, func(o *Options) { o.Trusted, o.SPF = []string{"example.org"}, spf.Passes(records) })
	r.wants(letter{addr: "192.0.2.7"}, "")
	r.wants(letter{addr: "203.0.113.7"}, full)
	unset := Defaults
	unset.Store = &Memory{}
	if mustNew(t, unset).(*Greylist).options.SPF == nil {
		t.Error("without SPF there is none")
	}
}

// With spf_key a sender may come again from any address that its SPF has.
func TestSendersWithPoolsOfAddresses(t *testing.T) {
	asked := 0
	r := newRig(t, func(o *Options) {
		o.SPFKey = true
		o.SPF = spfOf(&asked, map[string]string{"example.org": "192.0.0.0/16"})
	})
	r.wants(letter{addr: "192.0.2.7"}, full)
	r.wants(letter{addr: "203.0.113.7"}, full) // SPF does not know it
	r.Advance(10 * time.Minute)
	r.wants(letter{addr: "192.0.77.7"}, "")
	r.wants(letter{addr: "203.0.114.7"}, full)
	r.wants(letter{addr: "203.0.113.8"}, "")
}

// SPF is asked once a message, whatever the number of recipients.
func TestSPFIsAskedOnceAMessage(t *testing.T) {
	asked := 0
	r := newRig(t, func(o *Options) {
		o.Trusted, o.SPF = []string{"example.org"}, spfOf(&asked, map[string]string{"example.org": "192.0.2.0/24"})
	})
	ctx := t.Context()
	w := r.d.Walk(0)
	defer w.Close()
	w.Connect(ctx, "unknown", milterkit.FamilyInet, "192.0.2.7", 25)
	for message := range 2 {
		w.Mail(ctx, milterkit.NewAddress("<alice@example.org>"))
		for i := range 3 {
			if v := w.Rcpt(ctx, milterkit.NewAddress(fmt.Sprintf("<user%d@example.net>", i))); v != milterkit.Continue {
				t.Error(v)
			}
		}
		w.Reset()
		if asked != message+1 {
			t.Errorf("after message %d it was asked %d times", message+1, asked)
		}
	}
}

// Mail does not wait long for SPF: then it is as any other.
func TestSPFHasItsTime(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Trusted = []string{"example.org"}
		o.SPF = func(ctx context.Context, _ *milterkit.Envelope) (bool, error) {
			if end, limited := ctx.Deadline(); !limited || time.Until(end) > spfTime {
				t.Errorf("SPF may take until %v", end)
			}
			return true, context.DeadlineExceeded
		}
	})
	r.wants(letter{}, full)
}

// failing is a store that can be gone.
type failing struct {
	Memory
	err   error
	hangs bool
	asked int
}

func (f *failing) Check(ctx context.Context, t Try, p Policy) (Record, error) {
	f.asked++
	if f.hangs {
		<-ctx.Done()
		return Record{}, ctx.Err()
	}
	if f.err != nil {
		return Record{}, f.err
	}
	return f.Memory.Check(ctx, t, p)
}

// A store that is gone lets mail pass, says so once a minute and once when it is
// back, counts, and is asked again a second later.
func TestAStoreThatIsGoneLetsMailPass(t *testing.T) {
	var log bytes.Buffer
	store := &failing{err: errors.New("connection refused")}
	var child *Greylist
	r := newRig(t, func(o *Options) { o.Store, o.Logger = store, slog.New(slog.NewTextHandler(&log, nil)) })
	child = r.d.Slots()[0].Child.(*Greylist)
	for range 100 {
		r.wants(letter{}, "")
		r.Advance(100 * time.Millisecond)
	}
	if s := child.Stats(); store.asked != 10 || s != (Stats{Undelayed: 100, StoreErrors: 10, Entries: -1}) {
		t.Errorf("asked %d times, %+v", store.asked, s)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "connection refused") {
		t.Errorf("the log has\n%s", got)
	}
	r.Advance(time.Minute)
	r.wants(letter{}, "")
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "undelayed=101") {
		t.Errorf("the log has\n%s", got)
	}
	store.err = nil
	r.Advance(time.Second)
	r.wants(letter{}, full)
	r.wants(letter{}, full)
	if got := log.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, `level=INFO msg="greylist: the store answers again" undelayed=101`) {
		t.Errorf("the log has\n%s", got)
	}
}

// So does one that hangs, soon.
func TestAStoreThatHangsLetsMailPass(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Store = &failing{hangs: true} })
	begin := time.Now()
	for range 5 {
		r.wants(letter{}, "")
	}
	if took := time.Since(begin); took < storeTime || took > 10*storeTime {
		t.Errorf("it took %v", took)
	}
}

// A session that ends while the store is asked says nothing about the store.
func TestASessionThatEndsIsNotTheStoresFault(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := &failing{hangs: true}
	g := guard{clock: time.Now, log: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.check(ctx, store, Try{Key: someKey, At: time.Now()}, policy)
	store.hangs = false
	if r, ok := g.check(t.Context(), store, Try{Key: someKey, At: time.Now()}, policy); !ok || r.State != Waiting {
		t.Errorf("the next one has %+v, %v", r, ok)
	}
	if log.Len() > 0 || g.passed.Load() > 0 {
		t.Errorf("%d passed, and the log has\n%s", g.passed.Load(), &log)
	}
}

// And so do a Redis that is not there, one that takes connections and says nothing,
// and a file that is damaged.
func TestRealStoresThatAreGone(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	damaged := filepath.Join(t.TempDir(), "greylist.db")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		silent.Addr().String(): func(o *Options) { o.Redis = "redis://" + silent.Addr().String() },
		gone.Addr().String():   func(o *Options) { o.Redis = "redis://:secret@" + gone.Addr().String() },
		damaged:                func(o *Options) { o.Database = damaged },
	} {
		var log bytes.Buffer
		r := newRig(t, func(o *Options) {
			o.Store, o.Logger = nil, slog.New(slog.NewTextHandler(&log, nil))
			change(o)
		})
		begin := time.Now()
		for range 5 {
			r.wants(letter{}, "")
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: it took %v", want, took)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("the log has\n%s", got)
		}
	}
}

// The child does not open its store before it is asked, and tells what could not
// work.
func TestOptionsThatCannotWork(t *testing.T) {
	dir := t.TempDir()
	good := Defaults
	good.Database = filepath.Join(dir, "greylist.db")
	mustNew(t, good).(*Greylist).Close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("New has left %v", left)
	}
	for want, change := range map[string]func(*Options){
		`delay: 0s is too short`:                            func(o *Options) { o.Delay = 0 },
		`lifetime: 1ms is too short`:                        func(o *Options) { o.Lifetime = time.Millisecond },
		`retry_window: 10m0s is over before`:                func(o *Options) { o.RetryWindow = o.Delay },
		`ipv4_prefix: 33 is no length`:                      func(o *Options) { o.IPv4Prefix = 33 },
		`ipv6_prefix: 0 is no length`:                       func(o *Options) { o.IPv6Prefix = 0 },
		`allow: "a b" is no client`:                         func(o *Options) { o.Allow = []string{"a.example", "a b"} },
		`allow: "192.0.2.7/24" has bits beyond`:             func(o *Options) { o.Allow = []string{"192.0.2.7/24"} },
		`trusted: "a@b.example" is not a domain`:            func(o *Options) { o.Trusted = []string{"a@b.example"} },
		`recipients: "@a.example" is neither`:               func(o *Options) { o.Recipients = []string{"@a.example"} },
		`except_recipients: "" is neither`:                  func(o *Options) { o.ExceptRecipients = []string{""} },
		`redis: invalid URL scheme: http; write a URL such`: func(o *Options) { o.Redis = "http://127.0.0.1" },
		`redis: invalid port ":port" after host; write`:     func(o *Options) { o.Redis = "redis://user:secret@127.0.0.1:port" },
		`database: a file is needed`:                        func(o *Options) { o.Database = "" },
		`database: there is no folder ` + dir + `/no`:       func(o *Options) { o.Database = dir + "/no/greylist.db" },
		`database: ` + dir + ` is no file`:                  func(o *Options) { o.Database = dir },
		`database: /proc/version is no folder`:              func(o *Options) { o.Database = "/proc/version/greylist.db" },
	} {
		o := good
		change(&o)
		_, err := New(o)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
			continue
		}
		var about interface{ Option() string }
		if !errors.As(err, &about) || about.Option() != want[:strings.Index(want, ":")] {
			t.Errorf("%v is not about an option", err)
		}
	}
}

// A key has nothing in it that no address has.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"Alice@Example.org", "\"a\nb\"@c\x00", "\xff", strings.Repeat("é", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := address(text)
		if len(got) > 3*maxAddress || strings.ContainsAny(got, "\n\r\x00") || got != address(got) && len(got) < maxAddress {
			t.Errorf("%q is %q, and that %q", text, got, address(got))
		}
	})
}
