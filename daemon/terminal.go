package daemon

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// terminalSize returns the columns and lines of a terminal; 0 where it is none.
func terminalSize(w io.Writer) (columns, lines int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	if size.Col == 0 || size.Row == 0 { // it does not say
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// keysAtOnce has a terminal hand on each key when it is pressed, and not show it.
// Restore undoes that; where f is no terminal, there is nothing to undo.
func keysAtOnce(f *os.File) (restore func()) {
	before, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		return func() {}
	}
	at := *before
	at.Lflag &^= unix.ICANON | unix.ECHO
	at.Cc[unix.VMIN], at.Cc[unix.VTIME] = 1, 0
	unix.IoctlSetTermios(int(f.Fd()), setTermios, &at)
	return func() { unix.IoctlSetTermios(int(f.Fd()), setTermios, before) }
}
