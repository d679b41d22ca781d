package daemon

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/daemon/internal/config"
)

func TestAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"": "no milter is enabled: every message passes",
		"[[milter]]\nname=\"q\"\nsocket=\"/q\"\ndefault_action=\"quarantine\"\n":                                                                            "the default action of q is tempfail behind an MTA that offers no quarantine",
		"[[milter]]\nname=\"a\"\nsocket=\"/a\"\n[[milter]]\nname=\"s\"\nsocket=\"/s\"\nshadow=true\n[[milter]]\nname=\"b\"\nsocket=\"/b\"\ntogether=true\n": "s is a shadow, and makes a difference all the same: b runs together with it, and not with a; give s together = true as well",
		"[server]\ntemp_dir=\"/dev/shm\"\n": "temp_dir /dev/shm is in memory, so what max_memory bounds takes memory all the same",
	} {
		if strings.Contains(text, "/dev/shm") && !inMemory("/dev/shm") {
			want = "no milter is enabled: every message passes" // no such thing here
		}
		c, err := config.Parse("f", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := advice(c); !slices.Contains(got, want) {
			t.Errorf("%q: got %q", text, got)
		}
	}
	c, err := config.Parse("f", []byte("[server]\nuser = \"somebody\"\n[[milter]]\nname=\"q\"\nsocket=\"/q\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "cannot become somebody"
	if os.Geteuid() == 0 {
		want = "keeps the rights of root"
	}
	if got := advice(c); len(got) != 1 || !strings.Contains(got[0], want) {
		t.Errorf("got %q", got)
	}
}

// Times that Postfix does not wait, and sockets that others can reach, are told.
func TestTimesAndReachThatAreDoubtful(t *testing.T) {
	c, err := config.Parse("f", []byte(`[server]
listen = ["inet:8890@192.0.2.1", "inet:8890@127.0.0.1"]
stage_timeout = "1m"
message_timeout = "10m"
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(advice(c), "\n")
	for _, want := range []string{"below the 30s", "below the 300s", "inet:8890@192.0.2.1 can be reached", "no milter is enabled"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in:\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "127.0.0.1 can") {
		t.Error(notes)
	}
}
