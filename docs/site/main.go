// Command site makes the web site of the documentation from the Markdown files of
// the project: pages that need no JavaScript and load nothing from elsewhere.
//
//	go run . -out ../../bin/site
//
// docs/README.md is the list of the pages: their order, and what the navigation
// calls them.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", "../..", "the project's `folder`")
	out := flag.String("out", "../../bin/site", "the `folder` that the site is written to")
	flag.Parse()
	s, err := read(*root)
	if err == nil {
		err = s.write(*out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	fmt.Printf("%d pages: %s/index.html\n", len(s.pages), *out)
}
