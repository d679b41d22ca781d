package daemon

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/milterkit/sdk/daemon/internal/replay"
)

// replayReadName is the command that replay starts.
const replayReadName = "replay-read"

// A passedLetter is a letter on its way between the two processes.
type passedLetter struct {
	replay.Letter
	Error string
}

// readAsRoot reads letters in a process that keeps root's rights: other users' mail is
// nothing that milterkit's user may read, and what takes mail apart is no work for root.
func readAsRoot(ctx context.Context, paths []string, stdin io.Reader, stderr io.Writer) (iter.Seq2[replay.Letter, error], error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, self, append([]string{replayReadName, "--"}, paths...)...)
	c.Stdin, c.Stderr = stdin, stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return func(yield func(replay.Letter, error) bool) {
		defer c.Wait()
		defer pipe.Close()
		letters := gob.NewDecoder(pipe)
		for {
			var l passedLetter
			err := letters.Decode(&l)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(replay.Letter{Name: "the messages"}, fmt.Errorf("the process that reads them ended: %w", err))
				return
			case l.Error != "":
				err = errors.New(l.Error)
			}
			if !yield(l.Letter, err) {
				return
			}
		}
	}, nil
}

// newReplayReadCommand is what replay starts to read messages as root.
func newReplayReadCommand() *cobra.Command {
	return &cobra.Command{
		Use:     replayReadName + " FILE...",
		Short:   "Read messages for replay",
		Long:    "This is for replay, which starts it as root.",
		Example: "  milterkit replay message.eml",
		Hidden:  true,
		RunE: func(c *cobra.Command, args []string) error {
			out := gob.NewEncoder(c.OutOrStdout())
			for l, err := range replay.Letters(args, c.InOrStdin()) {
				passed := passedLetter{Letter: l}
				if err != nil {
					passed.Error = err.Error()
				}
				if err := out.Encode(passed); err != nil {
					return nil // replay has ended
				}
			}
			return nil
		},
	}
}
