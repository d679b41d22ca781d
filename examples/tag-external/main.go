// Tag-external marks the subject of mail that comes from outside.
package main

import (
	"context"
	"flag"
	"log"
	"strings"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/mime"
)

// tagExternal puts the tag before the subject as it came: encoded words stay valid.
func tagExternal(tag string) milterkit.Child {
	return milterkit.NewChild("tag-external", func() milterkit.Hooks {
		return milterkit.Hooks{
			Mail: func(_ context.Context, e *milterkit.Envelope) milterkit.Verdict {
				if e.AuthUser() != "" || local(e.Session) {
					return milterkit.Accept // no more of this message, for this child
				}
				return milterkit.Continue
			},
			Message: func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
				if !strings.Contains(mime.Text(m, "Subject"), tag) {
					e.SetHeader("Subject", strings.TrimSpace(tag+" "+m.Get("Subject")))
				}
				return milterkit.Continue
			},
		}
	})
}

// local reports whether the client is this machine, or one of the same network.
func local(s *milterkit.Session) bool {
	ip := s.Client().Addr()
	return s.Family == milterkit.FamilyUnix || ip.IsLoopback() || ip.IsPrivate()
}

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{Child: tagExternal("[EXT]")}))
}
