package test

import (
	"archive/zip"
	"bytes"
	"slices"
	"strings"

	"github.com/milterkit/sdk/test/stack"
)

// contents are messages that clamd and spamd have an opinion on, or that are hard
// to read.
func contents() []specimen {
	scanned := about(append(viruses(), odd()...), virusPair)
	return append(scanned, about(spam(), spamPair)...)
}

func viruses() []specimen {
	padding := bytes.Repeat([]byte("A line of a body of which there are many, and all are alike.\r\n"), 5<<20/62)
	big := func(last string) []byte {
		return slices.Concat(letter("5 MB", "", "Hello."), padding, []byte(last))
	}
	return []specimen{
		{name: "clean", message: letter("quarterly figures", "", "Hello Bob,", "", "the figures are in the folder."), pairs: []string{spamPair, dkimPair, dmarcPair}},
		{name: "EICAR alone in the body", message: letter("eicar", "", stack.EICAR)},
		{name: "EICAR attached", message: attachment("invoice", virus)},
		{name: "EICAR zipped", message: attachment("zipped invoice", zipped(virus))},
		{name: "EICAR zipped twice", message: attachment("zipped invoices", zipped(zipped(virus)))},
		{name: "EICAR in the last bytes of 5 MB", message: big(stack.EICAR)},
		{name: "EICAR in the last bytes of 5 MB without an end of line", message: big("and " + stack.EICAR)},
		{name: "5 MB, clean", message: big("The end.\r\n")},
		{name: "virus marker in the subject", message: letter("buy "+stack.Marker+" now", "", "Hello.")},
		{name: "virus marker in the first field", message: append([]byte("X-First: "+stack.Marker+"\r\n"), letter("first", "", "Hello.")...)},
		{name: "virus marker at the start of the body", message: letter("start", "", stack.Marker, "and more")},
		{name: "forged X-Virus fields", message: letter("forged", "X-Virus-Scanned: forged by me\r\nX-Virus-Status: Clean, says forged\r\nx-virus-status: again forged\r\n", "Hello.")},
		{name: "forged X-Virus fields and a virus", message: letter("forged", "X-Virus-Scanned: forged by me\r\nX-Virus-Status: Clean, says forged\r\n", stack.Marker)},
	}
}

// zipped is an archive with the file.
func zipped(file []byte) []byte {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	w, err := archive.Create("invoice.com")
	if err == nil {
		_, err = w.Write(file)
	}
	if err = cmpOr(err, archive.Close()); err != nil {
		panic(err) // bytes.Buffer has none
	}
	return b.Bytes()
}

func cmpOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func odd() []specimen {
	return about([]specimen{
		{name: "8-bit", message: letter("gr\xfc\xdfe", "X-UTF8: gr\u00fc\u00dfe\r\n", "gr\xfc\xdfe aus K\xf6ln", "\xff\xfe\x80", "a\x1b[0mb")},
		{name: "empty body", message: letter("empty", "")},
		{name: "no body and no empty line", message: lines("From: "+alice, "To: "+bob, "Subject: no body", "Date: "+date)},
		{name: "no header", message: lines("", "Only a body.")},
		{name: "nothing at all", message: nil},
		{name: "dots and NULs", message: letter("dots", "", ".", "..", "a\x00b\x00\x00c", "")},
		{name: "odd header fields", message: letter("odd fields", trickyFields, "Hello.")},
		{name: "header field of 40 KB", message: letter("long", "X-Long: "+strings.Repeat("0123456789", 4096)+"\r\n", "Hello.")},
		{name: "300 header fields", message: letter("many", strings.Repeat("X-One: of many\r\n", 300), "Hello.")},
	}, dkimPair, dmarcPair)
}

func spam() []specimen {
	return []specimen{
		{name: "GTUBE", message: letter("spam", "", stack.GTUBE)},
		{name: "GTUBE attached", message: attachment("gtube", []byte(stack.GTUBE))},
		{name: "forged X-Spam fields", message: letter("forged", "X-Spam-Flag: YES, forged\r\nX-Spam-Status: Yes, forged\r\nX-Spam-Level: *** forged\r\nX-Spam-Flag: again forged\r\n", "Hello.")},
		{name: "spam of a lower score", message: lines("From: "+alice, "Subject: CHEAP VIAGRA!!! $$$ 100% FREE", "Content-Type: text/html", "",
			"<html><font size=1 color=white>x</font><b>VIAGRA CIALIS</b> Dear friend, you have won 1,000,000 US dollars.",
			"Click <a href=\"http://192.0.2.77/x\">here</a>. Act now! 100% guaranteed, risk free, no obligation.</html>")},
		{name: "spam of a lower score with forged X-Spam fields", message: lines("X-Spam-Status: No, forged", "X-Spam-Flag: NO, forged", "Subject: CHEAP VIAGRA!!! $$$ 100% FREE", "",
			"VIAGRA CIALIS Dear friend, you have won 1,000,000 US dollars.")},
		{name: "600 KB", message: letter("big", "", strings.Repeat("A line of a body of which there are many.\r\n", 15000))},
		{name: "GTUBE in an 8-bit letter", message: letter("gr\xfc\xdfe", "", "gr\xfc\xdfe", stack.GTUBE)},
	}
}
