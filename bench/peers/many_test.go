package main

import (
	"os"
	"testing"

	emersion "github.com/emersion/go-milter"

	"github.com/milterkit/sdk/bench"
)

// Memory that was had for a while is told when it is gone again.
func TestWatchTellsTheMost(t *testing.T) {
	before, err := memoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	most := watch(os.Getpid())
	b := make([]byte, size)
	for i := 0; i < len(b); i += 4096 {
		b[i] = byte(i)
	}
	peak, err := most()
	if err != nil || peak < before+size/2 {
		t.Errorf("%d MiB before, at most %d, %v: %d MiB were had besides", before>>20, peak>>20, err, len(b)>>20)
	}
}

// Sessions that are opened carry a message each, and stay open.
func TestOpenManyStayOpen(t *testing.T) {
	lab := newLab(t)
	at, _, err := lab.Milterkit(t.Context(), bench.Mux{Children: []bench.Child{{}}})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := openMany(t.Context(), at, 20)
	if err != nil || len(waiting) != 20 {
		t.Fatalf("%d sessions, %v", len(waiting), err)
	}
	for _, s := range waiting {
		if a, err := s.Mail("alice@example.org", nil); err != nil || a.Code != emersion.ActContinue {
			t.Error(a, err)
		}
		s.Close()
	}
}
