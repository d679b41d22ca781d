// Milterkit puts many mail filters behind one milter socket.
//
// The mail server asks milterkit, and milterkit asks the filters, in the order
// of its configuration file. `milterkit serve` does that; the other commands
// look at the configuration, and play either end of a milter socket.
package main

import (
	"os"

	"github.com/milterkit/sdk/daemon"
)

func main() { os.Exit(daemon.Main()) }
