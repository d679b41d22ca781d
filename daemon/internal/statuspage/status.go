package statuspage

import (
	"time"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/record"
)

// A Status is all that the page and `milterkit status` show: GET /status.json. Its
// names are documented in docs/operating.md.
type Status struct {
	Program    string         `json:"program"`
	Version    string         `json:"version"`
	Host       string         `json:"host"` // the machine
	Now        time.Time      `json:"now"`
	Started    time.Time      `json:"started"`
	Ready      bool           `json:"ready"` // takes connections; false: is ending
	Generation int            `json:"generation"`
	Loaded     time.Time      `json:"loaded"`                   // the configuration of that generation
	Refused    *RefusedReload `json:"refused_reload,omitempty"` // the last attempt to load it again, where that failed
	Sessions   Sessions       `json:"sessions"`
	Memory     Memory         `json:"memory"`
	Unsaved    string         `json:"unsaved,omitempty"` // why the history ends with the process
	Minute     history.Sum    `json:"minute"`
	Hour       history.Sum    `json:"hour"`
	Day        history.Sum    `json:"day"`
	Milters    []Milter       `json:"milters"` // in the order in which they are asked
	Series     history.Series `json:"series"`
	Slowest    []Brief        `json:"slowest"` // of the last day, slowest first
	Last       []Brief        `json:"refused"` // refused, put off, discarded or held, newest first
}

// A RefusedReload is a configuration that was not taken.
type RefusedReload struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"` // all that was wrong, a line each
}

// Sessions are those of now.
type Sessions struct {
	Now     int `json:"now"`
	Waiting int `json:"waiting"` // of these, for a place
	Max     int `json:"max"`     // 0: no limit
}

// Memory is in bytes.
type Memory struct {
	Messages    int64 `json:"messages"`     // taken for messages
	MaxMessages int64 `json:"max_messages"` // 0: no limit
	Process     int64 `json:"process"`      // all that the process has from the system
}

// States of a milter.
const (
	StateUp      = "up"      // it answers
	StateDown    = "down"    // it does not
	StateFailing = "failing" // it is there, and has failed in the last message
	StateUnknown = "unknown" // it has not been asked yet
)

// A Milter is one of the configuration that is enabled.
type Milter struct {
	Name     string     `json:"name"`
	Kind     string     `json:"kind"`  // remote or native
	Where    string     `json:"where"` // its socket, or what `use` says
	State    string     `json:"state"`
	Since    *time.Time `json:"since,omitempty"`  // of that state, where that is known
	Why      string     `json:"why,omitempty"`    // it is down or failing
	Passed   bool       `json:"passed,omitempty"` // it is known to be down: messages do not wait for it
	Default  string     `json:"default_action"`
	Shadow   bool       `json:"shadow,omitempty"`
	Together bool       `json:"together,omitempty"`
	When     string     `json:"when,omitempty"`
}

// A Brief is a message in short; GET /message.json?n=N has all of it.
type Brief struct {
	N       uint64    `json:"n"`
	Time    time.Time `json:"time"`
	TookMS  float64   `json:"took_ms"`
	QueueID string    `json:"queue_id,omitempty"`
	Client  string    `json:"client,omitempty"`
	From    *string   `json:"from,omitempty"` // absent: the session was refused before it had a message
	To      string    `json:"to,omitempty"`   // the first recipient; where none was taken, the last that was refused
	Rcpts   int       `json:"rcpts,omitempty"`
	Outcome string    `json:"outcome"`
	By      string    `json:"by,omitempty"`
	Code    int       `json:"code,omitempty"`
	Reply   string    `json:"reply,omitempty"`
}

// Briefs are messages in short.
func Briefs(kept []history.Kept) []Brief {
	all := make([]Brief, len(kept))
	for i, k := range kept {
		all[i] = brief(k.N, k.Message)
	}
	return all
}

func brief(n uint64, m *record.Message) Brief {
	b := Brief{
		N: n, Time: m.Time, TookMS: float64(m.Took.Round(10*time.Microsecond)) / float64(time.Millisecond), QueueID: m.QueueID,
		Client: m.Client, From: m.Sender, Rcpts: m.Rcpts, Outcome: history.OutcomeOf(m), By: m.By,
	}
	if len(m.To) > 0 {
		b.To = m.To[0]
	} else {
		b.To = history.RefusedRecipient(m)
	}
	var by string
	if by, b.Code, b.Reply = history.Refusal(m); by != "" {
		b.By = by
	}
	return b
}
