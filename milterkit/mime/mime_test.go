package mime_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/mime"
)

// look shows a message to a child that looks into it.
func look(t testing.TB, text string, see func(m *milterkit.Message)) {
	t.Helper()
	d, err := milterkit.NewDispatcher(milterkit.Slot{Child: milterkit.OnMessage("looker",
		func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
			see(m)
			return milterkit.Continue
		})})
	if err != nil {
		t.Fatal(err)
	}
	d.Logger = slog.New(slog.DiscardHandler)
	w := d.Walk(milterkit.AllActions)
	defer w.Close()
	w.Connect(context.Background(), "mx.example.org", milterkit.FamilyInet, "192.0.2.1", 25)
	w.Mail(context.Background(), milterkit.NewAddress("<a@example.org>"))
	w.Rcpt(context.Background(), milterkit.NewAddress("<b@example.net>"))
	if o := w.Message(context.Background(), []byte(text)); o.Verdict != milterkit.Continue {
		t.Fatalf("the child has failed: %v", o.Verdict)
	}
}

// list tells the parts of a message, one a line.
func list(t testing.TB, text string) (lines []string) {
	t.Helper()
	look(t, text, func(m *milterkit.Message) {
		for p, err := range mime.Parts(m) {
			if err != nil {
				lines = append(lines, "error: "+err.Error())
				continue
			}
			body, err := io.ReadAll(p.Body)
			line := fmt.Sprintf("%s %s %q %q", p.Path, p.Type, p.Filename, bytes.TrimSpace(body))
			if p.Attached {
				line += " attached"
			}
			if err != nil {
				line += " error: " + err.Error()
			}
			lines = append(lines, line)
		}
	})
	return lines
}

func TestPartsAreDecodedInOrder(t *testing.T) {
	const mixed = `Content-Type: multipart/mixed; boundary=A

preamble
--A
Content-Type: Multipart/Alternative; boundary="B"

--B
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
--B
Content-Type: TEXT/HTML; Charset=utf-8
Content-Transfer-Encoding: base64

PGI+Y2Fmw6k8L2I+
--B--
--A
Content-Type: application/x-msdownload; name="=?utf-8?q?r=C3=A9sum=C3=A9.exe?="
Content-Disposition: attachment; filename*=utf-8''setup%2Eexe

MZ
--A
Content-Type: message/rfc822; name="letter.eml"

Subject: forwarded
Content-Type: application/octet-stream; name="=?utf-8?q?inner=2Escr?="

inner
--A--
`
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"plain":             {"Subject: a\n\nhello\n", []string{` text/plain "" "hello"`}},
		"no header":         {"\nhello\n", []string{` text/plain "" "hello"`}},
		"nothing":           {"", []string{` text/plain "" ""`}},
		"a type of no kind": {"Content-Type: ;;;\n\nhello\n", []string{` text/plain "" "hello"`}},
		"unknown charset":   {"Content-Type: text/plain; charset=klingon\n\nhello\n", []string{` text/plain "" "hello"`}},
		"unknown encoding":  {"Content-Transfer-Encoding: rot13\n\nuryyb\n", []string{` text/plain "" "uryyb"`}},
		"mixed": {mixed, []string{
			`1.1 text/plain "" "café"`,
			`1.2 text/html "" "<b>café</b>"`,
			`2 application/x-msdownload "setup.exe" "MZ" attached`,
			`3 message/rfc822 "letter.eml" ""`,
			`3.1 application/octet-stream "inner.scr" "inner"`,
		}},
		"cut short": {"Content-Type: multipart/mixed; boundary=A\n\n--A\n\none\n", []string{
			`1 text/plain "" "one" error: unexpected EOF`, `error: mime: part 2: multipart: NextPart: EOF`}},
	} {
		got := list(t, strings.ReplaceAll(test.text, "\n", "\r\n"))
		if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

// What is written wrongly is read as mail programs read it, or is an error: a name is
// not hidden by it.
func TestBrokenFieldsHideNothing(t *testing.T) {
	for text, want := range map[string]string{
		"Content-Disposition: attachment; filename=my file.exe\r\nContent-Type: application/octet-stream; name=my file.exe\r\n\r\nMZ": ` application/octet-stream "my file.exe" "MZ" attached`,
		"Content-Disposition: attachment; filename=a.exe; filename=b.txt\r\n\r\nMZ":                                                   ` text/plain "a.exe" "MZ" attached`,
		"X\x80(: b\r\nContent-Type: text/html\r\n\r\nhello":                                                                           ` text/html "" "hello"`,
		"Content-Type: multipart/mixed; x\r\n\r\n--A\r\n\r\nhello":                                                                    `error: mime: the message: its parts cannot be told from each other: Content-Type: "multipart/mixed; x"`,
	} {
		if got := strings.Join(list(t, text), "\n"); got != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, got, want)
		}
	}
}

// A header of a part that would take a hundred times its size in memory, and messages
// that are encoded over and over.
func TestHostileMailIsAnError(t *testing.T) {
	header := "Content-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n" + strings.Repeat("a:\r\n", 1<<20) + "\r\nbody\r\n--A--\r\n"
	encoded := strings.Repeat("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", 40)
	long := "Content-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n\r\n" + strings.Repeat("x\r\n", 1<<20) + "--A\r\n\r\nlast\r\n--A--\r\n"
	for text, want := range map[string]string{header: "header is too long", encoded: "are encoded", long: `2 text/plain "" "last"`} {
		got := list(t, text)
		if last := got[len(got)-1]; !strings.Contains(last, want) {
			t.Errorf("the last of %d is %.200q, want %q", len(got), last, want)
		}
	}
}

// Parts within parts come to an end.
func TestDepthAndNumberAreBounded(t *testing.T) {
	var deep strings.Builder
	for i := range 200 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	wide := "Content-Type: multipart/mixed; boundary=A\r\n\r\n" + strings.Repeat("--A\r\n\r\n\r\n", 20_000)
	forwards := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 1000)
	for text, want := range map[string]string{deep.String(): "within more than 50", forwards: "within more than 50", wide: "more than 10000 parts"} {
		got := list(t, text)
		if last := got[len(got)-1]; !strings.Contains(last, want) {
			t.Errorf("%d parts, the last is %q, want %q", len(got), last, want)
		}
	}
}

// Who has seen enough leaves the loop.
func TestLoopMayEndEarly(t *testing.T) {
	look(t, "Content-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n\r\none\r\n--A\r\n\r\ntwo\r\n--A--\r\n", func(m *milterkit.Message) {
		n := 0
		for range mime.Parts(m) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%d parts", n)
		}
	})
}

func TestTextIsAsAPersonReadsIt(t *testing.T) {
	for value, want := range map[string]string{
		"hello":                "hello",
		"=?utf-8?b?Y2Fmw6k=?=": "café",
		"=?iso-8859-1?q?caf=E9?=\r\n =?utf-8?q?_ol=C3=A9?=": "café olé",
		"=?klingon?q?a?=":   "=?klingon?q?a?=",
		"folded\r\n\tvalue": "folded\tvalue",
		"caf\xe9":           "caf\xe9",
	} {
		look(t, "Subject: "+value+"\r\n\r\n", func(m *milterkit.Message) {
			if got := mime.Text(m, "subject"); got != want {
				t.Errorf("%q: %q, want %q", value, got, want)
			}
			if got := mime.Text(m, "X-None"); got != "" {
				t.Errorf("of no field: %q", got)
			}
		})
	}
}

// Whatever a message is like, it comes to an end and nothing panics.
func FuzzParts(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\nContent-Type: text/html; charset=x\r\n\r\na\r\n--A--\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\nContent-Transfer-Encoding: base64\r\n\r\n===\r\n"))
	f.Add([]byte("Content-Disposition: attachment; filename*0=a; filename*1=b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list(t, string(text))
		look(t, string(text), func(m *milterkit.Message) { mime.Text(m, "Subject") })
	})
}
