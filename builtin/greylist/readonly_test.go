package greylist

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/milterkit/sdk/milterkit/miltertest"
)

// A store that is looked at only answers as the store itself would, and records
// nothing.
func TestAReadOnlyStoreAnswersAsTheStoreDoes(t *testing.T) {
	server := miniredis.RunT(t)
	for name, o := range map[string]Options{
		"disk":  {Database: filepath.Join(t.TempDir(), "greylist.db")},
		"redis": {Redis: "redis://" + server.Addr(), RedisPrefix: "greylist:"},
	} {
		t.Run(name, func(t *testing.T) {
			var clock miltertest.Clock
			clock.Advance(time.Hour)
			o.Clock = clock.Now
			look, err := NewReadOnly(o)
			if err != nil {
				t.Fatal(err)
			}
			defer look.Close()
			if r := mustCheck(t, look, someKey, clock.Now()); r.State != Waiting || r.Tries != 1 {
				t.Errorf("of a store that is empty: %+v", r)
			}
			if _, err := os.Stat(o.Database); o.Database != "" && err == nil {
				t.Error("it has made the file")
			}
			s, err := o.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.Allow(t.Context(), "example.net", clock.Now())
			mustCheck(t, s, someKey, clock.Now())
			for _, after := range []time.Duration{time.Minute, 9 * time.Minute, 72 * time.Hour} {
				clock.Advance(after)
				for range 3 {
					seen := mustCheck(t, look, someKey, clock.Now(), "example.com")
					if after == 72*time.Hour { // passed at the time before
						if seen.State != Passed {
							t.Errorf("after %v: %+v", after, seen)
						}
						continue
					}
					if want := (after != time.Minute); (seen.State == Passed) != want || seen.Tries != 2 {
						t.Errorf("after %v: %+v", after, seen)
					}
				}
				if after == 9*time.Minute {
					mustCheck(t, s, someKey, clock.Now())
				}
			}
			if r := mustCheck(t, look, someKey, clock.Now(), "example.net"); r.State != Allowed {
				t.Errorf("of a client that is allowed: %+v", r)
			}
			if len(entries(t, s, clock.Now())) != 2 {
				t.Errorf("there are %v", entries(t, s, clock.Now()))
			}
		})
	}
}

// Who may read the file and write nothing beside it is answered too, and leaves nothing.
func TestAReadOnlyStoreNeedsToWriteNothing(t *testing.T) {
	dir := t.TempDir()
	o := Options{Database: filepath.Join(dir, "greylist.db")}
	s, err := o.Open()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	mustCheck(t, s, someKey, now)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look, err := NewReadOnly(o)
	if err != nil {
		t.Fatal(err)
	}
	if r := mustCheck(t, look, someKey, now.Add(time.Minute)); r.Tries != 2 {
		t.Errorf("%+v", r)
	}
	look.Close()
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("beside the file: %v %v", files, err)
	}
}

// What is wrong with a URL is said without the password in it.
func TestAWrongURLIsNotRepeatedWithItsPassword(t *testing.T) {
	for _, url := range []string{"rediss:/:hunter2@host", "redis://:hunter2@host:port", "redis://u:hunter2@host/name", "http://u:hunter2@host", "redis://u:hun ter2@host", "redis:/u:hunter2@host/0"} {
		if _, err := NewRedis(url, ""); err == nil || strings.Contains(err.Error(), "hun") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
