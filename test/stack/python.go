package stack

import "fmt"

// PythonMilter is a filter written in Python, on libmilter: a script that is given
// the socket to listen at.
type PythonMilter struct {
	Root *Root

	// Name tells several in one root apart.
	Name string

	// Script is its text.
	Script string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (p *PythonMilter) Socket() string { return "unix:" + p.Root.Path(p.Name, "sock") }

// Start implements [Component].
func (p *PythonMilter) Start() error {
	r := p.Root
	dir, err := r.mkdir(p.Name)
	if err != nil {
		return err
	}
	script := r.Path(p.Name, "filter.py")
	if err := r.write(script, p.Script); err != nil {
		return err
	}
	p.grace = stopLimitLibmilter
	// Debian's own: another one does not have Debian's python3-milter.
	err = p.launch(r, p.Name, dir, r.nobody(), nil, "/usr/bin/python3", "-u", script, r.Path(p.Name, "sock"))
	if err != nil {
		return fmt.Errorf("%w (it needs the package python3-milter)", err)
	}
	return p.listens(r.Path(p.Name, "sock"))
}
