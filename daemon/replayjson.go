package daemon

import (
	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/daemon/internal/replay"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// replayDocument is what replay prints of a message with --json.
type replayDocument struct {
	File        string          `json:"file"`
	Error       string          `json:"error,omitempty"` // it was not taken past the milters
	Facts       []replay.Fact   `json:"facts,omitempty"`
	replayEnd                   // what came of it
	Other       *replayEnd      `json:"other,omitempty"` // and of the configuration that it is compared with
	Differences []replayChanged `json:"differences,omitempty"`
}

// replayEnd is what became of a message.
type replayEnd struct {
	Record  *record.Message `json:"record,omitempty"`
	Refused []string        `json:"refused_recipients,omitempty"`
	Held    *string         `json:"quarantine,omitempty"` // the reason
	From    string          `json:"from,omitempty"`
	To      []string        `json:"to,omitempty"`
	Edits   []sendEdit      `json:"edits,omitempty"`
	Message string          `json:"message,omitempty"` // as it is delivered, where the milters change it
}

// replayChanged is a difference. Of the message it is a diff.
type replayChanged struct {
	What  string `json:"what"`
	First string `json:"first,omitempty"`
	Other string `json:"other,omitempty"`
	Diff  string `json:"diff,omitempty"`
}

func documentOf(t *replay.Turn, differ []replay.Difference) *replayDocument {
	d := &replayDocument{File: t.Letter.Name}
	if t.Err != nil {
		d.Error = t.Err.Error()
		return d
	}
	d.Facts, d.replayEnd = t.Results[0].Facts, *endOf(t.Results[0])
	if len(t.Results) > 1 {
		d.Other = endOf(t.Results[1])
	}
	for _, one := range differ {
		changed := replayChanged{What: one.What, First: one.First, Other: one.Other}
		if one.What == "message" {
			changed = replayChanged{What: one.What, Diff: new(paint).textDiff("first", one.First, "other", one.Other)}
		}
		d.Differences = append(d.Differences, changed)
	}
	return d
}

func endOf(r *replay.Result) *replayEnd {
	o := r.Outcome
	end := &replayEnd{Record: r.Record, Refused: o.Refused, From: o.Envelope.From, To: o.Envelope.To}
	if o.Held {
		end.Held = &o.Reason
	}
	for _, e := range o.Edits {
		end.Edits = append(end.Edits, sendEdit{wire.RepName(e.Code), e.Index, e.Name, e.Value, e.Body})
	}
	if o.Result == miltertest.Accepted {
		if after := o.Message.String(); after != r.Before.String() {
			end.Message = after
		}
	}
	return end
}
