package spool

import (
	"slices"
	"sync"
)

// A Page is what a message reads into when there is no memory for it: a quarter of
// what a session is said to need besides.
type Page [PageSize]byte

// PageSize is the size of a page in bytes.
const PageSize = 16 << 10

// pages are those that nobody reads into. They are cut from slabs, to be outside the
// heap too, and kept: there are as many as there were messages at one time.
var pages struct {
	sync.Mutex
	free []*Page
}

func takePage() *Page {
	pages.Lock()
	defer pages.Unlock()
	if len(pages.free) == 0 {
		for s := shelf.take()[:]; len(s) >= PageSize; s = s[PageSize:] {
			pages.free = append(pages.free, (*Page)(s))
		}
	}
	last := len(pages.free) - 1
	p := pages.free[last]
	pages.free = pages.free[:last]
	return p
}

func givePages(list []*Page) {
	pages.Lock()
	defer pages.Unlock()
	pages.free = append(pages.free, list...)
}

// Page returns a page to read into, with whatever is left in it. It belongs to the
// store until the last Release, or LeavePage.
func (s *Store) Page() *Page {
	s.check()
	s.pages = append(s.pages, takePage())
	return s.pages[len(s.pages)-1]
}

// LeavePage gives a page back that nobody looks at any more.
func (s *Store) LeavePage(p *Page) {
	s.check()
	if i := slices.Index(s.pages, p); i >= 0 {
		s.pages = slices.Delete(s.pages, i, i+1)
		givePages([]*Page{p})
	}
}
