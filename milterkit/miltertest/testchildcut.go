package miltertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// stopsWhenAsked cancels the ctx of each hook, before it is called and while it is
// under way.
func (k *kit) stopsWhenAsked() {
	k.eachCut(func(s *subject, l *letter, c *cut) {
		v := s.visit(l, func(v *visit) { v.cut = c })
		v.greet()
		v.message(l)
		v.close()
	})
}

// eachCut gives all hooks that can be cut, each with a new child and a letter.
func (k *kit) eachCut(try func(*subject, *letter, *cut)) {
	s := k.subject()
	if k.over() {
		return
	}
	h := s.hooks()
	for _, hook := range named(&h) {
		if hook == "Reset" || hook == "Close" {
			continue
		}
		for i, l := range k.letters {
			for _, before := range []bool{false, true} {
				if i == 1 {
					continue // it has nothing of its own
				}
				s := k.subject()
				if k.over() {
					return
				}
				try(s, l, &cut{hook: hook, before: before})
			}
		}
	}
}

// abortAtEachStage breaks messages off, in three ways, and sends another. Then it
// does so with messages of which a hook is stopped.
func (k *kit) abortAtEachStage() {
	for _, at := range stageOrder[2:] {
		for _, how := range []string{"with RSET", "with another HELO", "by hanging up"} {
			for _, l := range k.letters {
				s := k.subject()
				if k.over() {
					return
				}
				k.abort(s, l, at, how)
			}
		}
	}
	k.eachCut(func(s *subject, l *letter, c *cut) {
		v := s.visit(l, func(v *visit) { v.cut = c })
		defer v.close()
		v.greet()
		v.message(l)
		if !c.done || c.hook == "Connect" || c.hook == "Helo" {
			return
		}
		v.cut = nil
		v.message(k.letters[1])
		k.compare(v, k.letters[1], "abort", fmt.Sprintf("When %s has been stopped by its ctx, the next message of the session is answered otherwise. Set back in Reset what belongs to one message, also that it was stopped.", c.hook))
	})
}

// abort breaks a message off.
func (k *kit) abort(s *subject, l *letter, at milterkit.Stage, how string) {
	v := s.visit(l, nil)
	v.greet()
	v.send(l, at)
	switch how {
	case "with another HELO":
		v.ended, v.said = v.refused, nil
		v.step(v.client, milterkit.StageHelo)
		v.reset()
	case "by hanging up":
		v.close()
		v = s.visit(l, nil)
		v.greet()
	default:
		v.reset()
	}
	next := k.letters[0]
	v.message(next)
	k.compare(v, next, "abort", fmt.Sprintf("When the client has broken a message off after %s (%s), the next one is answered otherwise: something of the first is still there. Set it back in Reset.", at, how))
	v.close()
}

// interleaveFor is how long sessions are interleaved.
const interleaveFor = 500 * time.Millisecond

// sessionsAtOnce plays two sessions in every way in which their commands can come
// one between the other's, then many at the same time.
func (k *kit) sessionsAtOnce() {
	other := *k.letters[1]
	other.client.Host, other.client.Addr, other.client.Helo = "relay.example.com", "198.51.100.9", "relay.example.com"
	own := append([]*letter{k.letters[0]}, k.letters[3:]...)
	began := time.Now()
	for i, l := range own {
		orders := interleavings(5)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		s := k.subject()
		for _, order := range orders {
			if k.over() || time.Since(began) > interleaveFor*time.Duration(i+1)/time.Duration(len(own)) {
				break
			}
			k.interleave(s, l, &other, order)
		}
	}
	k.crowd(append(own, &other))
}

// interleavings returns all ways to put n commands of two sessions in order.
func interleavings(n int) (list [][]int) {
	var more func(order []int, a, b int)
	more = func(order []int, a, b int) {
		if a == 0 && b == 0 {
			list = append(list, order)
		}
		if a > 0 {
			more(append(order[:len(order):len(order)], 0), a-1, b)
		}
		if b > 0 {
			more(append(order[:len(order):len(order)], 1), a, b-1)
		}
	}
	more(nil, n, n)
	return list
}

const shares = "Two sessions at the same time are not answered as each is alone: they share something. Keep what belongs to a session in variables of the function that makes its hooks, not in the child."

// interleave plays two sessions at one child.
func (k *kit) interleave(s *subject, a, b *letter, turns []int) {
	letters, visits, steps := [2]*letter{a, b}, [2]*visit{}, [2]int{}
	for _, i := range turns {
		l := letters[i]
		switch steps[i] {
		case 0:
			visits[i] = s.visit(l, nil)
			visits[i].greet()
		case 1, 2, 3:
			visits[i].step(l, stageOrder[steps[i]+1])
		default:
			for _, at := range stageOrder[5:] {
				visits[i].step(l, at)
			}
			visits[i].reset()
			visits[i].close()
			k.compare(visits[i], l, "shares", shares)
		}
		steps[i]++
	}
}

// crowd plays sessions at the same time.
func (k *kit) crowd(letters []*letter) {
	s := k.subject()
	if k.over() {
		return
	}
	for _, l := range letters {
		k.alone(l) // it makes children, which only this goroutine may
	}
	var all sync.WaitGroup
	for i := range 8 {
		l := letters[i%len(letters)]
		all.Go(func() {
			for range 5 {
				v := s.visit(l, lost)
				v.greet()
				v.message(l)
				v.close()
				k.compare(v, l, "shares", shares)
			}
		})
	}
	all.Wait()
}

// noGoroutineLeft counts the child's goroutines after few sessions and after many,
// and in the end.
func (k *kit) noGoroutineLeft() {
	s := k.subject()
	if k.over() {
		return
	}
	h := s.hooks()
	round := func() {
		for _, hook := range append(named(&h), "") {
			if k.over() {
				return
			}
			v := s.visit(k.letters[0], func(v *visit) { v.cut = &cut{hook: hook}; v.shared = true })
			v.greet()
			v.send(k.letters[2], milterkit.StageMessage)
			v.close()
		}
	}
	round()
	few, _ := s.settle(0, soon)
	const rounds = 3
	for range rounds {
		round()
	}
	if many, list := s.settle(few, soonEnough); many >= few+rounds && !k.over() {
		k.fault("leak", "Goroutines are left of sessions that are over, and get more and more: %d, and %d a few sessions before. End them when the ctx of the hook is done, or in Close of the session. One stands here:\n%s", many, few, most(list).text)
	}
	s.close()
	if n, list := s.settle(0, soonEnough); s.shut && n > 0 && !k.over() {
		k.fault("leak", "Goroutines are left when the child is closed: %d. Have Close end them, and wait for them. One stands here:\n%s", n, most(list).text)
	}
}

// settle waits until there are no more than so many goroutines.
func (s *subject) settle(enough int, limit time.Duration) (n int, list []stack) {
	for pause := tick; ; pause *= 2 {
		n, list = s.goroutines()
		if n <= enough || limit <= 0 {
			return n, list
		}
		wait(nil, pause)
		limit -= pause
	}
}

// most returns the place where most goroutines stand.
func most(list []stack) (m stack) {
	for _, st := range list {
		if st.count > m.count {
			m = st
		}
	}
	return m
}

// promptKeepsItsWord plays with the hooks on the goroutine of the session, where a
// Walk may have them, and cancels the session's ctx in each.
func (k *kit) promptKeepsItsWord() {
	s := k.subject()
	if k.over() {
		return
	}
	h := s.hooks()
	if k.slack {
		k.fault("prompt", "Some sessions' hooks are Prompt and some are not: a Dispatcher goes by what the last ones said.")
	}
	for _, hook := range append(named(&h), "") {
		for _, l := range k.letters {
			s := k.subject()
			if k.over() {
				return
			}
			k.playDirect(s, l, &cut{hook: hook})
		}
	}
}

// playDirect plays a letter as one call.
func (k *kit) playDirect(s *subject, l *letter, c *cut) {
	v := s.visit(l, func(v *visit) { v.cut = c; v.direct = true })
	what := "a session with hooks that are Prompt"
	if c.hook != "" {
		what += " and a ctx that is done in " + c.hook
	}
	all := s.start(context.Background(), what, func(context.Context) {
		v.greet()
		v.send(l, milterkit.StageMessage)
		v.reset()
		v.close()
	})
	if !wait(all.done, long) {
		s.stuck(all, "has not ended after %v: a hook that is Prompt does not return when its ctx is done, which holds up the session for ever. Without Prompt it could be given up.", long)
		return
	}
	if s.endedWell(all, "") && c.hook == "" {
		k.compare(v, l, "prompt", "On the goroutine of the session the hooks answer otherwise than on a worker's.")
	}
}
