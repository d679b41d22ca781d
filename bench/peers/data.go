package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/milterkit/sdk/bench"
)

// The report as data: all of bench.Report, the samples with quantiles in place
// of their histograms.

type takenData struct {
	Title   string
	Point   bench.Point
	Names   []string
	Samples map[string][]sampleData // by the contestant's name, a round each
}

// A sampleData is a bench.Sample. Times are in seconds, memory is in bytes; 0 is
// what cannot be known.
type sampleData struct {
	Wall                        float64
	Sessions, Messages, Refused int
	Rate                        float64 // messages a second
	P50, P95, P99, Max          float64 // of sessions
	CPU, Filters, LoadCPU       float64 // a message
	Allocs, Bytes               float64 // a message
	Peak                        float64
}

func dataOf(s *bench.Sample) sampleData {
	at := func(q float64) float64 { return float64(s.Times.ValueAtPercentile(q)) / 1e6 }
	return sampleData{
		Wall: s.Wall.Seconds(), Sessions: s.Sessions, Messages: s.Messages, Refused: s.Refused, Rate: s.Rate,
		P50: at(50), P95: at(95), P99: at(99), Max: float64(s.Times.Max()) / 1e6,
		CPU: s.CPU, Filters: s.Filters, LoadCPU: s.LoadCPU, Allocs: s.Allocs, Bytes: s.Bytes, Peak: s.Peak,
	}
}

// writeData writes a report as data.
func writeData(w io.Writer, r *bench.Report) error {
	data := struct {
		Machine bench.Machine
		Began   time.Time
		Taken   []takenData
		Goals   []bench.Goal
		LeftOut []bench.LeftOut
	}{r.Machine, r.Began, nil, r.Goals, r.LeftOut}
	for i := range r.Taken {
		t := &r.Taken[i]
		d := takenData{t.Title, t.Point, t.Names, map[string][]sampleData{}}
		for name, samples := range t.Results {
			for k := range samples {
				d.Samples[name] = append(d.Samples[name], dataOf(&samples[k]))
			}
		}
		data.Taken = append(data.Taken, d)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", " ")
	return out.Encode(data)
}
