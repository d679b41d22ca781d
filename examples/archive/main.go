// Archive keeps a copy of each message in a folder.
package main

import (
	"flag"
	"log"
	"net"

	"github.com/milterkit/sdk/milterkit"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8890", "where the mail server finds it")
	dir := flag.String("dir", "archive", "folder")
	flag.Parse()
	chain, err := milterkit.NewDispatcher(milterkit.Slot{Child: archive(*dir)})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&milterkit.Server{Dispatcher: chain}).Serve(ln))
}
