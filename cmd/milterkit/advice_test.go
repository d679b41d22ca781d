package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/cmd/milterkit/internal/config"
)

func TestAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"": "no milter is enabled: every message passes",
		"[[milter]]\nname=\"q\"\nsocket=\"/q\"\ndefault_action=\"quarantine\"\n": "the default action of q is tempfail behind an MTA that offers no quarantine",
		"[server]\ntemp_dir=\"/dev/shm\"\n":                                      "temp_dir /dev/shm is in memory, so what max_memory bounds takes memory all the same",
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
