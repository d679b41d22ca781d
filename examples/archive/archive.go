package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// archive writes each message to a file in dir while it arrives. A file whose name
// ends in .eml is complete; what is not goes away with the message.
func archive(dir string) milterkit.Child {
	return milterkit.NewChild("archive", func() milterkit.Hooks {
		var f *os.File // of the message at hand, until it is complete
		return milterkit.Hooks{
			Header: func(_ context.Context, m *milterkit.Message) milterkit.Verdict {
				var err error
				if f, err = os.CreateTemp(dir, "*.part"); err != nil {
					return milterkit.Fail(err)
				}
				fmt.Fprintf(f, "X-Envelope: from %v to %v\r\n", m.Sender, m.Recipients)
				_, err = io.Copy(f, m.Reader())
				return unless(err)
			},
			Body: func(_ context.Context, _ *milterkit.Message, piece []byte) milterkit.Verdict {
				_, err := f.Write(piece)
				return unless(err)
			},
			Message: func(_ context.Context, m *milterkit.Message, _ *milterkit.Edits) milterkit.Verdict {
				name := fmt.Sprintf("%d-%d.eml", time.Now().UnixNano(), m.ID)
				return unless(errors.Join(f.Sync(), f.Close(), os.Rename(f.Name(), filepath.Join(dir, name))))
			},
			Reset: func() {
				if f != nil {
					f.Close()
					os.Remove(f.Name()) // it has another name if it is complete
					f = nil
				}
			},
		}
	})
}

// unless is a failure where there is an error.
func unless(err error) milterkit.Verdict {
	if err != nil {
		return milterkit.Fail(err)
	}
	return milterkit.Continue
}
