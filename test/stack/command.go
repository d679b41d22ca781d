package stack

import (
	"context"
	"os"
	"os/exec"
)

// Command is the milterkit program with arguments, yet to be started, as root.
func (b *Binary) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.path, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // the race detector would wait a second
	return cmd
}

// ConfigDir is the folder of main.cf and master.cf.
func (p *Postfix) ConfigDir() string { return p.Root.Path("postfix", "etc") }
