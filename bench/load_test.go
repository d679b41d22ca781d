package bench

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

const blink = 30 * time.Millisecond

func TestALoadCountsWhatCameThrough(t *testing.T) {
	addr, f := startFilter(t, miltertest.Script{})
	r, err := (&Load{Addrs: []Addr{addr}, Mails: []Mail{small}, Messages: 3, Sessions: 2}).Run(t.Context(), blink)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Idle(t.Context(), r.Sessions); err != nil {
		t.Fatal(err)
	}
	if r.Sessions < 2 || r.Sessions != f.Sessions() || r.Messages != 3*r.Sessions || r.Refused != 0 {
		t.Errorf("%d sessions, %d messages, %d refused; the filter had %d sessions", r.Sessions, r.Messages, r.Refused, f.Sessions())
	}
	if got := int(r.Times.TotalCount()); got != r.Sessions || r.Times.Max() <= 0 {
		t.Errorf("%d times of %d sessions, the longest %d", got, r.Sessions, r.Times.Max())
	}
}

// A session that is refused is never counted as one that came through.
func TestALoadCountsRefusalsApart(t *testing.T) {
	addr, _ := startFilter(t, miltertest.Script{On: map[byte][]miltertest.Answer{wire.CmdEOM: {{Text: "550 5.7.1 no", Message: 1}}}})
	load := &Load{Addrs: []Addr{addr}, Mails: []Mail{small}, Sessions: 2}
	r, err := load.Run(t.Context(), blink)
	if err != nil {
		t.Fatal(err)
	}
	if r.Refused == 0 || r.Sessions != 0 || r.Messages != 0 || r.Times.TotalCount() != 0 {
		t.Errorf("%d refused, %d sessions, %d messages, %d times", r.Refused, r.Sessions, r.Messages, r.Times.TotalCount())
	}
	if r.Refusal == nil || !strings.HasSuffix(r.Refusal.Error(), "END OF MESSAGE: 550 5.7.1 no") {
		t.Errorf("the refusal is %v", r.Refusal)
	}
	contest := &Contest{Contestants: []*Contestant{{Name: Direct, Addrs: []Addr{addr}}}, Mails: load.Mails, Sessions: 1, Rounds: 1, Time: blink}
	if _, err := contest.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no message came through") {
		t.Errorf("a contest in which nothing came through ends with %v", err)
	}
}

func TestALoadEndsWithAMilterThatBreaksOff(t *testing.T) {
	addr, _ := startFilter(t, miltertest.Script{On: map[byte][]miltertest.Answer{wire.CmdRcpt: {{Close: true}}}})
	began := time.Now()
	_, err := (&Load{Addrs: []Addr{addr}, Mails: []Mail{small}, Sessions: 2}).Run(t.Context(), time.Minute)
	if err == nil || errors.Is(err, errRefused) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestAMixIsPlayedInTurn(t *testing.T) {
	addr, f := startFilter(t, miltertest.Script{})
	other := small
	other.Name, other.Recipients = "other", 5
	load := &Load{Addrs: []Addr{addr}, Mails: []Mail{small, small, other}, Messages: 3, Sessions: 1} // at least one whole turn
	if _, err := load.Run(t.Context(), blink); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var sizes []int
	for _, line := range f.Saw() {
		switch word, _, _ := strings.Cut(line, " "); word {
		case "mail":
			sizes = append(sizes, 0)
		case "rcpt":
			sizes[len(sizes)-1]++
		}
	}
	if len(sizes) < 3 {
		t.Fatalf("only %d messages", len(sizes))
	}
	for i, n := range sizes {
		if want := []int{2, 2, 5}[i%3]; n != want {
			t.Fatalf("the recipients of the messages are %v", sizes)
		}
	}
}

func TestMailsAreAsLargeAsTheySay(t *testing.T) {
	for _, m := range Mails {
		size := 0
		header := m.header()
		for _, f := range header {
			size += len(f[0]) + len(f[1]) + len(":\r\n")
		}
		if len(header) != m.Fields || size > m.Header || size < m.Header*9/10 {
			t.Errorf("%s: %d fields with %d bytes, want %d with %d", m.Name, len(header), size, m.Fields, m.Header)
		}
		if n := len(m.body()); n != m.Body {
			t.Errorf("%s: a body of %d bytes, want %d", m.Name, n, m.Body)
		}
	}
}

// Milters of the user's own: their CPU is found by their socket, and they are
// left running.
func TestOwnMiltersAreMeasuredAndLeftAlone(t *testing.T) {
	lab, err := NewLab()
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	addrs, part, err := lab.Filters(t.Context(), Filters{Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := HoldOwn(t.Context(), lab, Point{Mail: small, Sessions: 2, Together: true}, addrs, Terms{Rounds: 1, Time: blink})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Direct, Milterkit} {
		if s := taken.Results[name]; len(s) != 1 || s[0].Messages == 0 || s[0].Filters <= 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := taken.Results[Milterkit][0]; s.CPU <= 0 || s.Allocs <= 0 || s.Peak <= 0 {
		t.Errorf("milterkit: %+v", s)
	}
	if err := Reach(addrs[0], time.Second); err != nil {
		t.Errorf("the milters have not survived: %v", err)
	}
	if got := listenerOf(addrs[0]); got != part.Pid() {
		t.Errorf("the socket is said to be of process %d, it is of %d", got, part.Pid())
	}
	if addr, _ := startFilter(t, miltertest.Script{}); listenerOf(addr) != os.Getpid() {
		t.Error("a socket of this process is said to be another's")
	}
}

func TestTooFewDescriptorsAreTold(t *testing.T) {
	_, err := Hold(t.Context(), nil, Point{Sessions: 1 << 40, Children: 3, Kind: "remote"}, Terms{})
	var few *DescriptorError
	if !errors.As(err, &few) || few.Need != 5<<40+spareDescriptors {
		t.Fatalf("got %v", err)
	}
	few = &DescriptorError{Need: 2564, Limit: 1024, Sessions: 500, Children: 3}
	if got, want := few.Error()+"; "+few.Cure(), "500 sessions at one time with 3 children take 2564 descriptors in one process, "+
		"and the limit is 1024; as root: ulimit -n 2564; under systemd: LimitNOFILE=2564"; got != want {
		t.Errorf("got %s", got)
	}
}
