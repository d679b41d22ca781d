// Archive keeps a copy of each message in a folder.
package main

import (
	"flag"
	"log"

	"github.com/milterkit/sdk/milterkit"
)

func main() {
	listen := flag.String("listen", "inet:8890@127.0.0.1", "where the mail server finds it")
	dir := flag.String("dir", "archive", "folder")
	flag.Parse()
	log.Fatal(milterkit.ListenAndServe(*listen, milterkit.Slot{Child: archive(*dir)}))
}
