package bench

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/milterkit/sdk/internal/nearest"
)

// A Scenario says which contests are held: one for each mail, with each number
// of sessions, past each number of children of each kind, one after the other
// and together, as the lists have them.
type Scenario struct {
	Name     string
	About    string
	Mails    []Mail // each is a point of its own
	Mix      []Mail // in place of Mails: played in turn, a point together
	Messages int    // in a session
	Sessions []int  // at one time
	Children []int
	Kinds    []string      // "remote", "native", "mixed", "own"
	Delay    time.Duration // of each child at the end of a message
	Together []bool
	Silent   bool // remote children do not answer the header and the body

	// Known are the mails that it can name: Mails of this package, and its own.
	Known []Mail
}

// StandardScenario is what is played where nobody says what.
const StandardScenario = "quick"

//go:embed scenarios/*.toml
var standard embed.FS

// Scenarios returns the scenarios that this program has, by name.
func Scenarios() []Scenario {
	var list []Scenario
	files, _ := fs.Glob(standard, "scenarios/*.toml") // the pattern is a right one
	for _, file := range files {
		data, err := standard.ReadFile(file)
		if err != nil {
			panic(err) // it is part of the program
		}
		s, err := ParseScenario(path.Base(file), data)
		if err != nil {
			panic(err)
		}
		list = append(list, s)
	}
	return list
}

// FindScenario returns one of Scenarios by its name, or reads the file that is
// named. What is wrong with a file is told by a tomlfile.Errors.
func FindScenario(nameOrFile string) (Scenario, error) {
	if strings.Contains(nameOrFile, "/") || strings.HasSuffix(nameOrFile, ".toml") {
		return ReadScenario(nameOrFile)
	}
	var names []string
	for _, s := range Scenarios() {
		if s.Name == nameOrFile {
			return s, nil
		}
		names = append(names, s.Name)
	}
	near := nearest.DidYouMean(nameOrFile, names)
	if near == "" {
		near = "; there are " + strings.Join(names, ", ")
	}
	return Scenario{}, fmt.Errorf("there is no scenario %q%s", nameOrFile, near)
}

// Points returns the contests that are held.
func (s *Scenario) Points() []Point {
	mails := s.Mails
	if len(s.Mix) > 0 {
		mails = []Mail{mixOf(s.Mix)}
	}
	var points []Point
	for _, mail := range mails {
		for _, kind := range s.Kinds {
			for _, children := range s.Children {
				for _, together := range s.Together {
					if together && children < 2 {
						continue // with whom?
					}
					for _, sessions := range s.Sessions {
						points = append(points, Point{
							Scenario: s.Name, Mail: mail, Mix: s.Mix, Messages: s.Messages, Sessions: sessions,
							Children: children, Kind: kind, Delay: s.Delay, Together: together, Silent: s.Silent,
						})
					}
				}
			}
		}
	}
	return points
}

// mixOf returns what a mix is called, and looks like on average.
func mixOf(mix []Mail) Mail {
	var names []string
	sum := Mail{}
	for _, m := range mix {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
		sum.Fields += m.Fields
		sum.Header += m.Header
		sum.Body += m.Body
		sum.Recipients += m.Recipients
	}
	n := len(mix)
	return Mail{strings.Join(names, "+"), sum.Fields / n, sum.Header / n, sum.Body / n, sum.Recipients / n}
}
