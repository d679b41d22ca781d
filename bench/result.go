package bench

import "slices"

// Results are the samples of each contestant, by its name, a round each.
type Results map[string][]Sample

// A Spread is a median and what it lies between: half of the samples do.
type Spread struct {
	Median, Low, High float64
	Values            int // that it is of; 0 where nobody has counted
}

// SpreadOf returns the spread of values.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 { // between two values where it falls there
		x := q * float64(len(v)-1)
		i := int(x)
		if i+1 >= len(v) {
			return v[len(v)-1]
		}
		return v[i] + (x-float64(i))*(v[i+1]-v[i])
	}
	return Spread{at(0.5), at(0.25), at(0.75), len(v)}
}

// Of returns the spread of a figure of one contestant.
func (r Results) Of(name string, figure func(*Sample) float64) Spread {
	var values []float64
	for i := range r[name] {
		values = append(values, figure(&r[name][i]))
	}
	return SpreadOf(values)
}

// Ratio returns the spread of a figure of one contestant against that of another
// in the same round.
func (r Results) Ratio(name, base string, figure func(*Sample) float64) Spread {
	var values []float64
	for i := range min(len(r[name]), len(r[base])) {
		values = append(values, figure(&r[name][i])/figure(&r[base][i]))
	}
	return SpreadOf(values)
}

// Figures of a sample.
var (
	Wall = func(s *Sample) float64 { return 1 / s.Rate } // seconds a message
	CPU  = func(s *Sample) float64 { return s.CPU }
	P50  = func(s *Sample) float64 { return float64(s.Times.ValueAtPercentile(50)) / 1e6 } // seconds a session
)
