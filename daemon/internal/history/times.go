package history

import (
	"math"
	"time"
)

// times counts how long something took: four sizes for each power of ten from 100 µs
// to 100 s. The first is what took less, the last what took longer.
type times [26]uint32

const (
	shortest = 100 * time.Microsecond
	perTen   = 4
)

func (t *times) add(d time.Duration) {
	i := 0
	if d >= shortest {
		i = min(1+int(perTen*math.Log10(float64(d)/float64(shortest))), len(t)-1)
	}
	t[i]++
}

func (t *times) merge(other *times) {
	for i, n := range other {
		t[i] += n
	}
}

// edge is where size i begins.
func edge(i int) float64 {
	if i == 0 {
		return 0
	}
	return float64(shortest) * math.Pow(10, float64(i-1)/perTen)
}

// quantile returns the time within which the part q of all was done, by the place in
// its size; false where there were none. It is at most 78 % too long or too short.
func (t *times) quantile(q float64) (time.Duration, bool) {
	all := uint64(0)
	for _, n := range t {
		all += uint64(n)
	}
	if all == 0 {
		return 0, false
	}
	want, seen := q*float64(all), 0.0
	for i, n := range t {
		if n > 0 && seen+float64(n) >= want {
			part := (want - seen) / float64(n)
			return time.Duration(edge(i) + part*(edge(i+1)-edge(i))), true
		}
		seen += float64(n)
	}
	return time.Duration(edge(len(t) - 1)), true
}
