package rspamd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// everything is an answer with all that is obeyed.
const everything = `{"score":9.0,"required_score":15.0,"action":"rewrite subject","subject":"***SPAM*** figures",
"symbols":{"A":{"name":"A","score":9.0}},"messages":{"smtp_message":"no"},
"dkim-signature":["v=1; a=rsa-sha256;\r\n\tb=x","v=1; a=ed25519-sha256; b=y"],
"milter":{"remove_headers":{"X-Old":0,"x-two":-1,"X-Three":2},
"add_headers":{"X-Last":{"value":"last","order":-1},"X-First":{"value":"first","order":0},"X-Plain":"plain","X-List":[{"value":"one","order":1},{"value":"two"},"three"],"X-Number":5},
"change_from":"<new@example.com>","add_rcpt":["<dave@example.org>"],"del_rcpt":["bob@example.org"]}}`

// with is a hook that does what an answer says.
func (f *filter) with(a *answer) func(context.Context, *milterkit.Message, *milterkit.Edits) milterkit.Verdict {
	return func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		return f.obey(m, e, a)
	}
}

// obeyed sends a message past a dispatcher.
func obeyed(d *milterkit.Dispatcher) milterkit.Outcome {
	ctx := context.Background()
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(ctx, milterkit.NewAddress("<alice@example.com>"))
	w.Rcpt(ctx, milterkit.NewAddress("<bob@example.org>"))
	return w.Message(ctx, []byte(letterOf("X-Spam: No\r\nX-Old: 1\r\n")))
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	f := startFake(t, `{"action":"add header","milter":{"add_headers":{"X-Spamd-Result":"default: True","X-Spamd-Bar":{"value":"++","order":1}},"remove_headers":{"Subject":0}}}`)
	miltertest.TestChild(t, func() milterkit.Child {
		child, err := New(options(f))
		if err != nil {
			t.Fatal(err)
		}
		return child
	})
}

// Each action does to a message what rspamd's own milter does.
func TestActions(t *testing.T) {
	for _, x := range []struct {
		answer, reply, held string
		header              string // what it ends with
	}{
		{answer: clean, header: "Subject: figures\r\n"},
		{answer: `{"action":"greylist"}`, header: "Subject: figures\r\n"},
		{answer: `{"action":"reject"}`, reply: "554 5.7.1 Spam message rejected"},
		{answer: `{"action":"reject","messages":{"smtp_message":"Gtube pattern"}}`, reply: "554 5.7.1 Gtube pattern"},
		{answer: `{"action":"reject","messages":{"smtp_message":"two\r\nlines"}}`, reply: "554 5.7.1 two??lines"},
		{answer: `{"action":"reject","messages":[]}`, reply: "554 5.7.1 Spam message rejected"},
		{answer: `{"action":"reject","milter":{"reject":"discard"}}`, reply: "discard"},
		{answer: `{"action":"reject","milter":{"reject":"quarantine"}}`, held: "Spam message quarantined", header: "Subject: figures\r\n"},
		{answer: `{"action":"reject","milter":{"no_action":true}}`, header: "X-Rspamd-Action: reject\r\n"},
		{answer: `{"action":"soft reject"}`, reply: "451 4.7.1 Try again later"},
		{answer: `{"action":"soft reject","messages":{"smtp_message":"Greylisted"}}`, reply: "451 4.7.1 Greylisted"},
		{answer: `{"action":"add header"}`, header: "X-Spam: Yes\r\n"},
		{answer: `{"action":"add header","milter":{"spam_header":"very"}}`, header: "X-Spam: very\r\n"},
		{answer: `{"action":"add header","milter":{"spam_header":{"X-Junk":"1","X-Why":"much"}}}`, header: "X-Junk: 1\r\nX-Why: much\r\n"},
		{answer: `{"action":"rewrite subject","subject":"[SPAM] figures"}`, header: "Subject: [SPAM] figures\r\n"},
		{answer: `{"action":"rewrite subject"}`, header: "Subject: figures\r\n"},
		{answer: `{"action":"quarantine"}`, held: "Spam message quarantined", header: "Subject: figures\r\n"},
		{answer: `{"action":"discard"}`, reply: "discard"},
	} {
		s := send(t, options(startFake(t, x.answer)), mail{})
		reply := s.verdict.Text()
		if s.verdict == milterkit.Discard {
			reply = "discard"
		}
		if reply != x.reply || s.held != x.held {
			t.Errorf("%s: %q, held %q; want %q, %q", x.answer, reply, s.held, x.reply, x.held)
		}
		if header, _, _ := strings.Cut(s.text, "\r\nHello"); x.header != "" && !strings.HasSuffix(header, x.header) {
			t.Errorf("%s: want %q at the end of\n%s", x.answer, x.header, header)
		}
	}
}

// The header is changed as rspamd counts its fields, and so is the envelope.
func TestEdits(t *testing.T) {
	text := letterOf("X-Old: 1\r\nX-Two: 1\r\nX-Two: 2\r\nx-old: 2\r\nX-Three: 1\r\nX-THREE: 2\r\nX-Three: 3\r\n")
	s := send(t, options(startFake(t, everything)), mail{text: text})
	if s.verdict != milterkit.Continue {
		t.Fatal(s.verdict, s.verdict.Err())
	}
	want := strings.ReplaceAll(`X-First: first
DKIM-Signature: v=1; a=rsa-sha256;
	b=x
DKIM-Signature: v=1; a=ed25519-sha256; b=y
X-List: one
Received: by mx
From: Alice <alice@example.com>
Subject: ***SPAM*** figures
X-Two: 1
X-Three: 1
X-Three: 3
X-Last: last
X-Plain: plain
X-List: two
X-List: three

Hello Bob.
`, "\n", "\r\n")
	if s.text != want {
		t.Errorf("the message is\n%s\nwant\n%s", s.text, want)
	}
	if s.sender != "new@example.com" || !slices.Equal(s.recipients, []string{"dave@example.org"}) {
		t.Errorf("from %q to %q", s.sender, s.recipients)
	}
}

// A place below zero is counted from the end.
func TestPlaceFromTheEnd(t *testing.T) {
	for order, want := range map[int]string{
		-2:  "Received: by mx\r\nFrom: Alice <alice@example.com>\r\nX-New: 1\r\nSubject: figures\r\n",
		-3:  "Received: by mx\r\nX-New: 1\r\nFrom: Alice",
		-99: "X-New: 1\r\nReceived: by mx\r\n",
		99:  "Subject: figures\r\nX-New: 1\r\n",
	} {
		s := send(t, options(startFake(t, fmt.Sprintf(`{"action":"no action","milter":{"add_headers":{"X-New":{"value":"1","order":%d}}}}`, order))), mail{})
		if !strings.Contains(s.text, want) {
			t.Errorf("order %d: want %q in\n%s", order, want, s.text)
		}
	}
}

// A field whose name looks like that of a mark does not hide the mark behind it.
func TestForgedMarkBehindAnotherName(t *testing.T) {
	o := options(startFake(t, clean))
	if s := send(t, o, mail{text: letterOf("X-\u017fpam: x\r\nX-Spam: No\r\n")}); strings.Contains(s.text, "X-Spam: No") {
		t.Errorf("the forged mark stays in\n%s", s.text)
	}
}

// A header that is full of marks takes no time: without care it is seconds.
func TestManyForgedMarks(t *testing.T) {
	var took time.Duration
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("many", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		began := time.Now()
		newEditor(m, e).removeAll()
		took = time.Since(began)
		return milterkit.TempFail("")
	})})
	if err != nil {
		t.Fatal(err)
	}
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Mail(t.Context(), milterkit.NewAddress("<alice@example.com>"))
	w.Rcpt(t.Context(), milterkit.NewAddress("<bob@example.org>"))
	w.Message(t.Context(), []byte(strings.Repeat("X-Spam:\r\n", 110000)+"\r\nHello\r\n"))
	if took == 0 || took > 2*time.Second {
		t.Errorf("removing them took %v", took)
	}
}

// A mark that came with the message goes, whatever becomes of it; one of a child
// before stays.
func TestForgedMark(t *testing.T) {
	before := milterkit.Slot{Child: milterkit.OnMessage("before", func(_ context.Context, _ *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		e.AddHeader("X-Spam", "so says the child before")
		return milterkit.Continue
	})}
	text := letterOf("x-spam: forged\r\nX-Spam: forged too\r\n")
	for _, x := range []struct {
		answer string
		limit  int64
		before []milterkit.Slot
		want   string
	}{
		{clean, 0, nil, "Subject: figures\r\n\r\n"},
		{clean, 10, nil, "Subject: figures\r\n\r\n"},
		{`{"action":"add header"}`, 0, nil, "Subject: figures\r\nX-Spam: Yes\r\n\r\n"},
		{`{"action":"no action","milter":{"remove_headers":{"X-Spam":0}}}`, 0, nil, "Subject: figures\r\n\r\n"},
		{clean, 0, []milterkit.Slot{before}, "Subject: figures\r\nX-Spam: so says the child before\r\n\r\n"},
		{`{"action":"add header"}`, 0, []milterkit.Slot{before}, "Subject: figures\r\nX-Spam: Yes\r\n\r\n"},
	} {
		o := options(startFake(t, x.answer))
		o.MaxSize = x.limit
		if s := send(t, o, mail{text: text, before: x.before}); !strings.Contains(s.text, x.want) {
			t.Errorf("%s: %v, want %q in\n%s", x.answer, s.verdict, x.want, s.text)
		}
	}
}

// A new body takes the place of the old one.
func TestNewBody(t *testing.T) {
	body := "A new body.\r\n"
	f := startFake(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nMessage-Offset: %d\r\nContent-Length: %d\r\n\r\n%s%s", len(clean), len(clean)+len(body), clean, body))
	if s := send(t, options(f), mail{}); !strings.HasSuffix(s.text, "Subject: figures\r\n\r\n"+body) {
		t.Errorf("%v %v:\n%s", s.verdict, s.verdict.Err(), s.text)
	}
}

// A message above the limit is not shown to rspamd, and goes on.
func TestMaxSize(t *testing.T) {
	f := startFake(t, `{"action":"reject"}`)
	o := options(f)
	o.MaxSize = int64(len(letterOf(""))) - 1
	if s := send(t, o, mail{}); s.verdict != milterkit.Continue || f.count() > 0 {
		t.Errorf("%v, asked %d times", s.verdict, f.count())
	}
	o.MaxSize++
	if s := send(t, o, mail{}); s.verdict.Kind() != milterkit.KindReject {
		t.Errorf("%v", s.verdict)
	}
}

// An option that cannot be is named, and what would be right.
func TestValidate(t *testing.T) {
	for _, x := range []struct {
		change         func(*Options)
		option, reason string
	}{
		{func(o *Options) { o.Addresses = nil }, "addresses", "write unix:/PATH"},
		{func(o *Options) { o.Addresses = []string{"11333"} }, "addresses", "11333"},
		{func(o *Options) { o.Timeout = -1 }, "timeout", `"60s"`},
		{func(o *Options) { o.MaxSize = -1 }, "max_size", `"50MiB"`},
		{func(o *Options) { o.Password = "a\r\nb" }, "password", "ASCII"},
	} {
		o := Defaults
		x.change(&o)
		_, err := New(o)
		named, ok := err.(interface{ Option() string })
		if !ok || named.Option() != x.option || !strings.Contains(err.Error(), x.reason) {
			t.Errorf("%s: the error is %v, want %q in it", x.option, err, x.reason)
		}
	}
	if _, err := New(Defaults); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// A message with more forged marks than a mail server deletes in no time is refused.
func TestTooManyForgedMarks(t *testing.T) {
	s := send(t, options(startFake(t, clean)), mail{text: letterOf(strings.Repeat("X-Spam: No\r\n", 600))})
	if code, _ := s.verdict.SMTP(); code != 552 {
		t.Errorf("got %v", s.verdict)
	}
}
