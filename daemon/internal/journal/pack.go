package journal

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"io"

	"github.com/milterkit/sdk/daemon/internal/record"
)

// dictionary is what records are compressed against: much of each is the names of its
// fields. A change of it needs another version of the tables.
const dictionary = `{"milter":"","at":"helo","at":"unknown","at":"mail","at":"data","error":"","calls":` +
	`{"milter":"","at":"rcpt","to":"","condition":"does not hold","after":0,"took":0},"verdict":"reject","code":550,"reply":"5.7.1 ` +
	`"outcome":"aborted","outcome":"quarantine","outcome":"discard","outcome":"tempfail","code":451,"reply":"4.7.1 Service unavailable - try again later",` +
	`"by":"milterkit","at":"end of header","at":"header","at":"body","shadow":true,"edits":1,"changes":[{"op":"add header","index":0,"name":"Authentication-Results","value":" ` +
	`{"session":1700000000000,"queue_id":"","time":"2026-01-01T00:00:00.000000000+00:00","took":0,"client":"mail.example.com","addr":"192.0.2.","helo":"mail.","auth":"",` +
	`"daemon":"smtpd","sender":"@example.com","to":["@example.com"],"rcpts":1,"refused":1,"message_id":"@","size":1000,"outcome":"accept","edits":1,` +
	`"milters":[{"name":"","verdict":"continue","took":1000},{"name":"","verdict":"accept","took":1000}],` +
	`"steps":[{"milter":"","at":"connect","condition":"holds","after":-1000,"took":1000},{"milter":"","at":"end of message","verdict":"continue","after":1000,"took":1000}]}`

// A row is a record as it is written.
type row struct {
	m    *record.Message
	keys []string
	data []byte
}

// A packer makes rows.
type packer struct {
	w *flate.Writer
	b bytes.Buffer
}

func (p *packer) row(m *record.Message) row {
	return row{m, keysOf(m), p.pack(m)}
}

func (p *packer) pack(m *record.Message) []byte {
	text, err := json.Marshal(m)
	if err != nil {
		text = []byte("{}") // there is nothing in a record that can not be written
	}
	p.b.Reset()
	if p.w == nil {
		p.w, _ = flate.NewWriterDict(&p.b, flate.DefaultCompression, []byte(dictionary)) // that level is one
	} else {
		p.w.Reset(&p.b) // keeps the dictionary
	}
	p.w.Write(text)
	p.w.Close()
	return bytes.Clone(p.b.Bytes())
}

// maxRecord bounds what a damaged file can make of a few bytes.
const maxRecord = 4 << 20

func unpack(data []byte) (*record.Message, error) {
	r := flate.NewReaderDict(bytes.NewReader(data), []byte(dictionary))
	text, err := io.ReadAll(io.LimitReader(r, maxRecord))
	m := new(record.Message)
	return m, errors.Join(err, json.Unmarshal(text, m))
}
