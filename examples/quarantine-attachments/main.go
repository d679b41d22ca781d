// Quarantine-attachments has the mail server hold mail that brings a program.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"regexp"
	"strings"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/mime"
)

var (
	barredName = regexp.MustCompile(`(?i)\.(exe|scr|com|bat|cmd|js|vbs|lnk|iso)[. ]*$`)
	barredType = regexp.MustCompile(`^application/(x-ms-?dos|x-msdownload|vnd\.microsoft\.portable)`)
)

func quarantineAttachments() milterkit.Child {
	return milterkit.OnMessage("quarantine-attachments", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		for part, err := range mime.Parts(m) {
			if err != nil {
				e.Quarantine("the parts of the message cannot be told apart")
			} else if program(part) {
				e.Quarantine(fmt.Sprintf("%s %q is a program", part.Type, part.Filename))
				break
			}
		}
		return milterkit.Continue
	})
}

// program reports whether a part is one, by its name, its type, or how it begins.
func program(p mime.Part) bool {
	if barredName.MatchString(p.Filename) || barredType.MatchString(p.Type) {
		return true
	}
	start, _ := io.ReadAll(io.LimitReader(p.Body, 2)) // decoded; what is broken begins otherwise
	return string(start) == "MZ" && !strings.HasPrefix(p.Type, "text/")
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{Child: quarantineAttachments()}))
}
