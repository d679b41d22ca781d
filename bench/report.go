package bench

import "time"

// A Report is all that was measured in one go, for people and programs.
type Report struct {
	Machine Machine
	Began   time.Time
	Taken   []Taken
	Goals   []Goal
	LeftOut []LeftOut
}

// Taken is one contest that was held.
type Taken struct {
	Title string // what it is about, in a line
	Point Point
	Names []string // of the contestants, in the order in which they are told
	Results
}

// A Point is where in the field of all loads a contest was held.
type Point struct {
	Scenario string
	Mail     Mail
	Mix      []Mail // played in turn; then Mail is but the name for them
	Messages int    // in a session
	Sessions int    // at one time
	Children int
	Kind     string        // "remote", "native", "mixed", "own": milters that run already, or what the children are
	Delay    time.Duration // of each child at the end of a message
	Together bool
	Silent   bool // the children do not answer the header and the body
}

// A Goal is a figure to reach, and what it was found to be.
type Goal struct {
	What string // "one remote child, 4 KB, 8 sessions: time against the relay"
	Want string // "at most 1.25"
	Got  string // "1.08 (1.02 to 1.11)"
	Held bool
	Note string // why, where it did not hold
}

// LeftOut is a contestant that could not take part, and what would bring it in.
type LeftOut struct{ Name, Why, Cure string }

// A Machine is what something was measured on.
type Machine struct {
	CPU    string // its name, as /proc/cpuinfo has it
	Cores  int
	Memory int64 // bytes
	Kernel string
	Go     string
	Commit string // of this tree, with "+changes" where it was changed
}
