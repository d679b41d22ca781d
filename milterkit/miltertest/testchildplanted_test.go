package miltertest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// A planted error, and what TestChild must say of it.
type planted struct {
	rule  string
	words []string // that stand in one of the findings
	new   func() milterkit.Child
}

// TestChild names each error in words that tell what to do.
func TestPlantedErrorsAreNamed(t *testing.T) {
	for name, p := range plantedErrors(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := findings(t, ChildTest{New: p.new}, p.rule)
			for _, line := range f.lines {
				if hasAll(line, append(p.words, p.rule+":")) {
					return
				}
			}
			t.Errorf("no finding of %s has all of %q:\n%s", p.rule, p.words, f)
		})
	}
}

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func plantedErrors(t *testing.T) map[string]planted {
	return map[string]planted{
		"keeps a slice":             {"KeepsNothing", []string{"past Reset", "bytes.Clone", `\xdb`}, keepsSlice},
		"keeps a piece of the body": {"KeepsNothing", []string{"past the call of Body", "bytes.Clone"}, keepsPiece},
		"writes into a field":       {"WritesNothing", []string{"Message writes to the bytes", "the value of the field Subject", "bytes.Clone"}, writesField},
		"appends to a piece":        {"WritesNothing", []string{"Body writes to the bytes", "It changed what stands behind the body", "bytes.Clone"}, appendsToPiece},
		"sorts the recipients":      {"WritesNothing", []string{"Recipients", "slices.Clone", "Edits.AddRecipient"}, sortsRecipients},
		"leaks a goroutine":         {"NoGoroutineLeft", []string{"more and more", "Close of the session", "leaksGoroutine.func"}, func() milterkit.Child { return leaksGoroutine(t) }},
		"does not end its pool":     {"NoGoroutineLeft", []string{"when the child is closed", "Have Close end them", "newSloppyPool.func"}, func() milterkit.Child { return newSloppyPool(t) }},
		"ignores cancel":            {"StopsWhenAsked", []string{"Rcpt does not stop when its ctx is done", "look at ctx wherever it waits", "ignoresCancel.func"}, ignoresCancel},
		"blocks forever":            {"StopsWhenAsked", []string{"Message blocks", "after its ctx was done", "blocksForever.func"}, func() milterkit.Child { return blocksForever(t) }},
		"shares state":              {"SessionsAtOnce", []string{"share something", "variables of the function that makes its hooks"}, sharesState},
		"edits before the end":      {"EditsApply", []string{"goes on editing in Header", "do not keep e", "before Message returns"}, editsEarly},
		"panics on empty header":    {"OddMail", []string{"Message panics on mail with no header at all", "index out of range", "panicsOnEmpty.func1"}, panicsOnEmpty},
		"fails on odd mail":         {"OddMail", []string{"Connect gives a Fail for mail from a client that the MTA does not know", "Give a verdict"}, failsOnUnknown},
		"is cut-sensitive":          {"OddMail", []string{"depends on where the body is cut", "keep what a piece ends with"}, looksWithinPieces},
		"forgets reset":             {"SecondMessage", []string{"something of the message before is still there", "Reset"}, forgetsReset},
		"resets at the end only":    {"AbortAtEachStage", []string{"broken a message off after rcpt", "Set it back in Reset"}, resetsAtEnd},
		"illegal header name":       {"EditsApply", []string{`"X Spam"`, "not the name of a header field", "put off"}, func() milterkit.Child { return addsHeader("X Spam") }},
		"odd header name":           {"EditsApply", []string{"printable ASCII"}, func() milterkit.Child { return addsHeader("X-Größe") }},
		"reuses its new body":       {"EditsApply", []string{"ReplaceBody", "has changed before Reset", "bytes that stay"}, reusesBody},
		"has no name":               {"NameAndHooks", []string{"a child needs a name"}, func() milterkit.Child { return milterkit.OnMessage("", nil) }},
		"changes its name":          {"NameAndHooks", []string{"must not change"}, func() milterkit.Child { return &renamed{} }},
		"takes its time in Hooks":   {"NameAndHooks", []string{"Hooks took more than", "return soon"}, slowHooks},
		"panics in Close":           {"ClosesOnce", []string{"Close panics", "nil map"}, panicsInClose},
		"calls Goexit":              {"OddMail", []string{"runtime.Goexit", "milterkit.Fail"}, exits},
		"breaks its promise":        {"PromptKeepsItsWord", []string{"Some sessions' hooks are Prompt and some are not"}, promptAtTimes()},
		"is nil":                    {"NameAndHooks", []string{"newChild returns nil"}, func() milterkit.Child { return nil }},
	}
}

func keepsSlice() milterkit.Child {
	return milterkit.NewChild("keeper", func() milterkit.Hooks {
		var last []byte
		return milterkit.Hooks{Message: func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
			e.AddHeader("X-Previous", string(last))
			for _, f := range m.Header() {
				if string(f.Name) == "Message-ID" {
					last = f.Value
				}
			}
			return milterkit.Continue
		}}
	})
}

func keepsPiece() milterkit.Child {
	return milterkit.NewChild("keeper", func() milterkit.Hooks {
		var pieces [][]byte
		return milterkit.Hooks{
			Body: func(_ context.Context, _ *milterkit.Message, piece []byte) milterkit.Verdict {
				pieces = append(pieces, piece)
				return milterkit.Continue
			},
			Message: func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
				e.AddHeader("X-Sum", fmt.Sprint(checksum(bytes.Join(pieces, nil))))
				return milterkit.Continue
			},
			Reset: func() { pieces = nil },
		}
	})
}

func writesField() milterkit.Child {
	return milterkit.OnMessage("writer", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		for _, f := range m.Header() {
			if string(f.Name) == "Subject" {
				copy(f.Value, bytes.ToUpper(f.Value))
			}
		}
		return milterkit.Continue
	})
}

func appendsToPiece() milterkit.Child {
	return milterkit.NewChild("writer", func() milterkit.Hooks {
		return milterkit.Hooks{Body: func(_ context.Context, _ *milterkit.Message, piece []byte) milterkit.Verdict {
			_ = append(piece, "\r\n"...)
			return milterkit.Continue
		}}
	})
}

func sortsRecipients() milterkit.Child {
	return milterkit.OnMessage("sorter", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		for i := range m.Recipients {
			m.Recipients[i].Addr = strings.ToUpper(m.Recipients[i].Addr)
		}
		return milterkit.Continue
	})
}

// leaksGoroutine leaves one behind each message, until the test ends.
func leaksGoroutine(t *testing.T) milterkit.Child {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	return milterkit.OnMessage("leak", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		go func() { <-end }()
		return milterkit.Continue
	})
}

// sloppyPool is a pool that is not ended.
type sloppyPool struct{ milterkit.Child }

func (sloppyPool) Close() error { return nil }

func newSloppyPool(t *testing.T) milterkit.Child {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	var once sync.Once
	return sloppyPool{milterkit.OnMessage("pool", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		once.Do(func() { go func() { <-end }() })
		return milterkit.Continue
	})}
}

func ignoresCancel() milterkit.Child {
	n := 0
	return milterkit.OnRcpt("deaf", func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
		if n++; n == 1 { // the others are quick, for the sake of the test
			time.Sleep(400 * time.Millisecond)
		}
		return milterkit.Continue
	})
}

func blocksForever(t *testing.T) milterkit.Child {
	answer := make(chan milterkit.Verdict)
	t.Cleanup(func() { close(answer) })
	return milterkit.OnMessage("stuck", func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
		return <-answer
	})
}

// shared has the state of a session in the child.
type shared struct {
	mu sync.Mutex
	n  int
}

func sharesState() milterkit.Child {
	c := &shared{}
	count := func(set func()) milterkit.Verdict {
		c.mu.Lock()
		defer c.mu.Unlock()
		set()
		return milterkit.Continue
	}
	return milterkit.NewChild("shared", func() milterkit.Hooks {
		return milterkit.Hooks{
			Mail: func(context.Context, *milterkit.Envelope) milterkit.Verdict { return count(func() { c.n = 0 }) },
			Rcpt: func(context.Context, *milterkit.Envelope, milterkit.Address) milterkit.Verdict {
				return count(func() { c.n++ })
			},
			Message: func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
				return count(func() { e.AddHeader("X-Recipients", fmt.Sprint(c.n)) })
			},
		}
	})
}

func editsEarly() milterkit.Child {
	return milterkit.NewChild("early", func() milterkit.Hooks {
		var edits *milterkit.Edits
		return milterkit.Hooks{
			Header: func(context.Context, *milterkit.Message) milterkit.Verdict {
				if edits != nil {
					edits.AddHeader("X-Early", "yes")
				}
				return milterkit.Continue
			},
			Message: func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
				edits = e
				return milterkit.Continue
			},
		}
	})
}

func panicsOnEmpty() milterkit.Child {
	return milterkit.OnMessage("panics", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		var names []string
		for _, f := range m.Header() {
			names = append(names, string(f.Name))
		}
		e.AddHeader("X-First", names[0])
		return milterkit.Continue
	})
}

func failsOnUnknown() milterkit.Child {
	return milterkit.NewChild("picky", func() milterkit.Hooks {
		return milterkit.Hooks{Connect: func(_ context.Context, s *milterkit.Session) milterkit.Verdict {
			if !s.Client().IsValid() {
				return milterkit.Fail(fmt.Errorf("no address: %q", s.Addr))
			}
			return milterkit.Continue
		}}
	})
}

func looksWithinPieces() milterkit.Child {
	return milterkit.NewChild("cut", func() milterkit.Hooks {
		return milterkit.Hooks{Body: func(_ context.Context, _ *milterkit.Message, piece []byte) milterkit.Verdict {
			if bytes.Contains(piece, []byte("lunch")) {
				return milterkit.Reject("no lunch")
			}
			return milterkit.Continue
		}}
	})
}

func forgetsReset() milterkit.Child {
	return milterkit.NewChild("forgets", func() milterkit.Hooks {
		h := countsRecipients().Hooks()
		h.Reset = nil
		return h
	})
}

func resetsAtEnd() milterkit.Child {
	return milterkit.NewChild("resets", func() milterkit.Hooks {
		h := countsRecipients().Hooks()
		reset := h.Reset
		h.Reset = nil
		h.Message = func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
			reset()
			return milterkit.Continue
		}
		return h
	})
}

func addsHeader(name string) milterkit.Child {
	return milterkit.OnMessage("adds", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader(name, "1")
		return milterkit.Continue
	})
}

// reusesBody has one buffer for all sessions.
func reusesBody() milterkit.Child {
	var mu sync.Mutex
	var buffer []byte
	return milterkit.OnMessage("reuses", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		mu.Lock()
		defer mu.Unlock()
		buffer = append(buffer[:0], "To "+m.Recipients[0].Addr+"\r\n"...)
		e.ReplaceBody(buffer)
		return milterkit.Continue
	})
}

type renamed struct {
	mu sync.Mutex
	n  int
}

func (r *renamed) Hooks() milterkit.Hooks { return milterkit.Hooks{} }
func (r *renamed) Name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return fmt.Sprint("name", r.n)
}

func slowHooks() milterkit.Child {
	var once sync.Once
	return milterkit.NewChild("slow", func() milterkit.Hooks {
		once.Do(func() { time.Sleep(1500 * time.Millisecond) })
		return milterkit.Hooks{}
	})
}

func panicsInClose() milterkit.Child {
	return milterkit.NewChild("closes", func() milterkit.Hooks {
		var seen map[string]bool
		return milterkit.Hooks{
			Connect: func(context.Context, *milterkit.Session) milterkit.Verdict {
				seen = map[string]bool{}
				return milterkit.Continue
			},
			Close: func() { seen["closed"] = true },
		}
	})
}

func exits() milterkit.Child {
	return milterkit.OnMessage("exits", func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
		if m.Get("From") == "" {
			runtime.Goexit()
		}
		return milterkit.Continue
	})
}

// promptAtTimes returns children whose hooks are prompt every second time.
func promptAtTimes() func() milterkit.Child {
	var mu sync.Mutex
	n := 0
	return func() milterkit.Child {
		return milterkit.NewChild("at times", func() milterkit.Hooks {
			mu.Lock()
			defer mu.Unlock()
			n++
			return milterkit.Hooks{Prompt: n%2 == 0}
		})
	}
}
