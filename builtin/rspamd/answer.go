package rspamd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/milterkit/sdk/builtin/internal/letter"
)

// An answer is what rspamd has made of a message, as far as it is obeyed.
type answer struct {
	Action   *string     `json:"action"`
	Error    string      `json:"error"`
	Subject  *string     `json:"subject"`
	Messages messages    `json:"messages"`
	Milter   milterBlock `json:"milter"`
	DKIM     texts       `json:"dkim-signature"`

	newBody bool // there is one
	body    []byte
}

// A milterBlock is what rspamd's own milter is to do besides. Source:
// rspamd_milter_process_milter_block.
type milterBlock struct {
	Remove     members         `json:"remove_headers"`
	Add        members         `json:"add_headers"`
	ChangeFrom string          `json:"change_from"`
	AddRcpt    texts           `json:"add_rcpt"`
	DelRcpt    texts           `json:"del_rcpt"`
	Reject     string          `json:"reject"` // "discard" or "quarantine" in place of a refusal
	NoAction   bool            `json:"no_action"`
	SpamHeader json.RawMessage `json:"spam_header"`
}

// messages are texts for the client and the log.
type messages struct{ smtp string }

// UnmarshalJSON takes the one that is for the client. Old versions of rspamd have a
// list in its place.
func (m *messages) UnmarshalJSON(text []byte) error {
	var all struct {
		SMTP json.RawMessage `json:"smtp_message"`
	}
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	var s string
	if all.SMTP != nil && json.Unmarshal(all.SMTP, &s) == nil {
		m.smtp = s
	}
	return nil
}

// texts are one string, or a list of them.
type texts []string

func (s *texts) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(s))
	}
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	*s = make(texts, 1)
	return json.Unmarshal(text, &(*s)[0])
}

// members are those of a JSON object, in their order: headers are added in it.
type members []member

type member struct {
	name  string
	value json.RawMessage
}

func (m *members) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return err // other things than objects mean nothing to rspamd
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		e := member{name: t.(string)}
		if err := d.Decode(&e.value); err != nil {
			return err
		}
		*m = append(*m, e)
	}
	return nil
}

// values are the elements of the value if it is a list, else the value.
func (e member) values() []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(e.value, &list) != nil {
		return []json.RawMessage{e.value}
	}
	return list
}

// parse reads a result. One without an action is none.
func parse(text []byte) (*answer, error) {
	a := new(answer)
	err := json.Unmarshal(text, a)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not an answer of rspamd's: %s", letter.Clean(err.Error(), 200))
	case a.Error != "":
		return nil, fmt.Errorf("rspamd says: %s", letter.Clean(a.Error, 200))
	case a.Action == nil:
		return nil, errors.New("not an answer of rspamd's: it has no action")
	}
	return a, nil
}
