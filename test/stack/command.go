package stack

import (
	"context"
	"os/exec"
)

// Command is the milterkit program with arguments, yet to be started, as root.
func (b *Binary) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.path, args...)
}

// ConfigDir is the folder of main.cf and master.cf.
func (p *Postfix) ConfigDir() string { return p.Root.Path("postfix", "etc") }
