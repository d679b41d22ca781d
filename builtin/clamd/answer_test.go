package clamd

import (
	"strings"
	"testing"
	"testing/iotest"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"stream: OK":                                    "",
		"fd[10]: OK":                                    "",
		"stream: Eicar-Signature FOUND":                 "Eicar-Signature",
		"fd[7]: Win.Test:EICAR:1(44d8:68) FOUND":        "Win.Test:EICAR:1(44d8:68)",
		"stream: a: b FOUND":                            "a:_b",
		"stream:  FOUND":                                "unknown",
		"instream(127.0.0.1@1234): OK.UNOFFICIAL FOUND": "OK.UNOFFICIAL",
		"stream: OK FOUND":                              "OK",
	} {
		if got, err := parseAnswer(answer); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", answer, got, err, want)
		}
	}
	for answer, want := range map[string]string{
		"":                         `an answer that is not clamd's: ""`,
		"OK":                       `an answer that is not clamd's: "OK"`,
		"stream: ok":               `an answer that is not clamd's: "stream: ok"`,
		"stream: OK ":              `an answer that is not clamd's: "stream: OK "`,
		"stream: a: OK":            `an answer that is not clamd's: "stream: a: OK"`,
		"stream: not FOUND at all": `an answer that is not clamd's: "stream: not FOUND at all"`,
		"stream: x ERROR":          `says "stream: x"`,
		"UNKNOWN COMMAND ERROR":    `says "UNKNOWN COMMAND"`,
		"ERROR":                    `says ""`,
		"a\r\nb" + long + " ERROR": `says "a\r\nb` + long[:76] + `"`,
	} {
		if got, err := parseAnswer(answer); err == nil || err.Error() != want {
			t.Errorf("%q: got %q, %v; want %s", answer, got, err, want)
		}
	}
}

var long = strings.Repeat("x", 200)

// An answer may come in any pieces.
func TestAnAnswerInPieces(t *testing.T) {
	t.Parallel()
	if got, err := readAnswer(iotest.OneByteReader(strings.NewReader("stream: OK\x00"))); err != nil || got != "stream: OK" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := readAnswer(iotest.DataErrReader(strings.NewReader("stream: OK\x00"))); err != nil || got != "stream: OK" {
		t.Errorf("with the end of the connection at once: got %q, %v", got, err)
	}
}

// A message is clean for one answer only, and a name is fit for a header.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"stream: OK\x00", "fd[1]: OK\x00", "stream: A:b FOUND\x00", "stream: x ERROR\x00", "stream: OK\x00\x00", "OK\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, read string) {
		answer, err := readAnswer(strings.NewReader(read))
		if err != nil {
			return
		}
		virus, err := parseAnswer(answer)
		what, _, _ := strings.Cut(read, ": ")
		clean := read == what+": OK\x00" && (what == "stream" || strings.HasPrefix(what, "fd["))
		if (err == nil && virus == "") != clean {
			t.Errorf("%q: %q, %v", read, virus, err)
		}
		if len(virus) > maxName || strings.ContainsFunc(virus, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q: the name is %q", read, virus)
		}
	})
}
