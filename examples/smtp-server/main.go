// Smtp-server is a mail server with filters in it, and no milter socket.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/milterkit/sdk/milterkit"
)

func noExe() milterkit.Child {
	return milterkit.OnMessage("no-exe", func(_ context.Context, m *milterkit.Message, e *milterkit.Edits) milterkit.Verdict {
		if strings.Contains(m.Get("Subject"), ".exe") {
			return milterkit.Reject("5.7.1 no executables, please")
		}
		e.AddHeader("X-Checked", "no-exe")
		return milterkit.Continue
	})
}

func newServer(chain *milterkit.Dispatcher, dir string) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return newSession(chain.Walk(milterkit.AllActions), c, dir)
	}))
	s.Domain, s.MaxMessageBytes = "mail.example.org", 25<<20
	s.ReadTimeout, s.WriteTimeout = 5*time.Minute, 5*time.Minute
	return s
}

func main() {
	listen := flag.String("listen", "127.0.0.1:2525", "where clients find it")
	dir := flag.String("dir", ".", "folder for mail")
	flag.Parse()
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: noExe()})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(newServer(chain, *dir).Serve(ln))
}
