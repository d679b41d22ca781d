package daemon

import (
	"log/slog"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

func mustBuild(t *testing.T, text string) *milterkit.Server {
	t.Helper()
	c, err := config.Parse("f", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := natives(nil).build(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeChildren(s) })
	return s
}

func TestEveryTermReachesTheServer(t *testing.T) {
	s := mustBuild(t, `
[server]
max_memory = "1MiB"
temp_dir = "/tmp"
max_header = "2KiB"
stage_timeout = "1s"
message_timeout = "2s"
[[milter]]
name = "a"
socket = "/a"
[[milter]]
name = "b"
socket = "inet:1@localhost"
connect_timeout = "3s"
command_timeout = "4s"
content_timeout = "5s"
default_action = "discard"
pipeline = false
together = true
shadow = true
`)
	d := s.Dispatcher
	if s.MaxMemory != 1<<20 || s.TempDir != "/tmp" || s.MaxHeader != 2<<10 || d.StageTimeout != time.Second || d.MessageTimeout != 2*time.Second ||
		s.Logger == nil || d.Logger == nil {
		t.Errorf("got %+v", s)
	}
	slots := d.Slots()
	b := slots[1]
	if len(slots) != 2 || b.Child.Name() != "b" || b.CommandTimeout != 4*time.Second || b.ContentTimeout != 5*time.Second ||
		b.DefaultAction != milterkit.DefaultDiscard || !b.Together || !b.Shadow {
		t.Errorf("got %+v", b)
	}
	for i, want := range []bool{false, true} {
		if child := slots[i].Child.(*remote.Milter); child.Lockstep != want {
			t.Errorf("milter %q: lockstep is %t", child.Name(), child.Lockstep)
		}
	}
}

// A milter that is turned off does not make others run together that did not
// before, nor apart.
func TestAMilterTurnedOffKeepsItsPlaceInTheGroup(t *testing.T) {
	const (
		a = "[[milter]]\nname = \"a\"\nsocket = \"/a\"\n"
		b = "[[milter]]\nname = \"b\"\nsocket = \"/b\"\n"
		c = "[[milter]]\nname = \"c\"\nsocket = \"/c\"\ntogether = true\n"
		d = "[[milter]]\nname = \"d\"\nsocket = \"/d\"\ntogether = true\n"

		off = "enabled = false\n"
	)
	for text, want := range map[string]string{
		a + b + c + d:             "a b+c+d",
		a + b + off + c + d:       "a c+d",
		a + off + c + d:           "c+d",
		a + b + c + off + d:       "a b+d",
		a + b + off + c + off + d: "a d",
		a + b + c + d + off:       "a b+c",
		a + off + b + off:         "",
	} {
		got := ""
		for i, s := range mustBuild(t, text).Dispatcher.Slots() {
			switch {
			case s.Together:
				got += "+"
			case i > 0:
				got += " "
			}
			got += s.Child.Name()
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
