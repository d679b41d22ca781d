package daemon

import (
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/options"
	"github.com/milterkit/sdk/milterkit"
)

// A Native is a child in this process that the configuration file can name. Use
// makes one.
type Native struct {
	name   string
	schema *options.Schema
	make   func(options any) (milterkit.Child, error)
	writes func(options any) (folders []string, known bool)
	fault  error // the programmer's
}

// Use adds a native child to the program: a milter with `use = "NAME"` is what
// newChild makes of its [milter.options]. The name must not be that of a child that
// every milterkit has (docs/children/README.md). NewChild is called once for each
// such milter that is enabled, by serve, at each reload and by check, without the
// rights of root; and where something else is wrong with the file, to tell all at
// once. In the log the child is called what the file calls it. If it has a method
// Close() error, that is called when no session has the child any more.
//
// Options is a struct, and defaults are its values where the file says nothing
// (slices and maps are not copied, so do not change them). Each exported field is
// an option: a string, bool, integer, float or [time.Duration], a type with the
// methods UnmarshalText and MarshalText or a pointer to one (nil: not set), a slice
// of these, a map from string to these, or a struct, which is a section of its own.
// A slice of structs is a list of tables, each of which begins with
// [[milter.options.NAME]]; what a table does not set is zero. MaxRcpt is the option max_rcpt; a tag names another: `toml:"max"`. With
// `toml:",size"` an integer is a number of bytes, which the file can write as
// "10MiB". With `toml:",required"` the file must set the option, and the default is
// only the example in the message. A field with `toml:"-"` is none.
//
// The file's values are checked against the types. What else is wrong says a
// method Validate() error of Options, or newChild; see [OptionErrorf]. Where the
// struct itself will not do, [Main] says so and ends, whatever the command.
//
// A method Writes() []string of Options names the folders below which the child
// writes files. Where each child of the configuration has one, serve takes from itself
// the right to write elsewhere (Landlock, on Linux), and to gain rights by programs
// that it starts.
func Use[Options any](name string, defaults Options, newChild func(Options) (milterkit.Child, error)) Native {
	n := Native{name: name}
	n.schema, n.fault = options.New(defaults)
	n.writes = func(o any) ([]string, bool) {
		w, known := o.(interface{ Writes() []string })
		if !known {
			return nil, false
		}
		return w.Writes(), true
	}
	n.make = func(o any) (milterkit.Child, error) { return newChild(o.(Options)) }
	if newChild == nil {
		n.fault = errors.Join(n.fault, errors.New("there is no function that makes it"))
	}
	return n
}

// OptionErrorf returns an error about one option, for a method Validate or the
// function that makes a child. It is told with the place of that option in the
// file. An option of a section is named section.option, one of the second table of
// a list list[2].option: tables count from 1. [errors.Join] takes several such
// errors. Any error will do that has a method Option() string, the name.
func OptionErrorf(option, format string, args ...any) error {
	return &optionError{option, fmt.Errorf(format, args...)}
}

type optionError struct {
	option string
	err    error
}

func (e *optionError) Error() string  { return e.option + ": " + e.err.Error() }
func (e *optionError) Unwrap() error  { return e.err }
func (e *optionError) Option() string { return e.option }

// natives are the native children that `use` can name.
type natives map[string]Native

var nativeName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// newNatives returns the children by their names. An error is the programmer's.
func newNatives(list []Native) (natives, error) {
	all := make(natives, len(list))
	var errs []error
	for _, n := range list {
		switch _, twice := all[n.name]; {
		case n.make == nil:
			errs = append(errs, errors.New("a Native is made by daemon.Use"))
		case n.fault != nil:
			errs = append(errs, fmt.Errorf("daemon.Use(%q): %w", n.name, n.fault))
		case !nativeName.MatchString(n.name):
			errs = append(errs, fmt.Errorf("daemon.Use(%q): a name has letters, digits, dots and dashes, at most 64", n.name))
		case twice:
			errs = append(errs, fmt.Errorf("daemon.Use(%q): there is another child of this name", n.name))
		}
		all[n.name] = n
	}
	return all, errors.Join(errs...)
}

// load reads the configuration file. With an error there may be what could be read
// all the same, for alsoChildren.
func (all natives) load(file string) (*config.Config, error) {
	c, err := withDetected(config.Load(file, all.schemas()))
	if err == nil {
		err = all.within(c)
	}
	return c, err
}

// schemas are the options of the children, by their names.
func (all natives) schemas() config.Natives {
	known := make(config.Natives, len(all))
	for name, n := range all {
		known[name] = n.schema
	}
	return known
}

// children makes the native children of a configuration, each in the place of its
// milter, and tells all that they have against it; then none is left open. Where
// the configuration is wrong itself, those are made whose options are right.
func (all natives) children(c *config.Config) ([]milterkit.Child, config.Errors) {
	children := make([]milterkit.Child, len(c.Milters))
	var faults config.Errors
	for i := range c.Milters {
		m := &c.Milters[i]
		if !m.Enabled.V || m.Options == nil {
			continue
		}
		child, fault := all.child(c, m)
		if len(fault) > 0 {
			faults = append(faults, fault...)
			continue
		}
		children[i] = child
	}
	if len(faults) > 0 {
		closeAll(children)
		clear(children)
	}
	return children, faults
}

// alsoChildren adds to what is wrong with a configuration what its native children
// have against it. It gives up the rights of root for that.
func (all natives) alsoChildren(c *config.Config, err error) error {
	var faults config.Errors
	if c == nil || !errors.As(err, &faults) {
		return err
	}
	account, noUser := triedAs(c)
	if !c.Server.User.From.IsDefault() { // else what is wrong may be the reason
		faults = append(faults, noUser...)
	}
	if account == nil && len(noUser) > 0 || account != nil && account.become() != nil {
		return faults
	}
	more := all.childFaults(c)
	if len(noUser) > 0 {
		markStandIn(more)
	}
	faults = append(faults, more...)
	faults.Sort()
	return faults
}

// childFaults is what the native children of a configuration have against it.
func (all natives) childFaults(c *config.Config) config.Errors {
	children, faults := all.children(c)
	if len(faults) == 0 {
		closeAll(children)
	}
	return faults
}

// child makes the native child that a milter of the configuration uses.
func (all natives) child(c *config.Config, m *config.Milter) (milterkit.Child, config.Errors) {
	child, err := all[m.Use.V].make(m.Options.Value())
	if err == nil && child == nil {
		err = errors.New("no child was made")
	}
	if err != nil {
		return nil, c.ChildFault(m, err)
	}
	return named{child, m.Name.V}, nil
}

// named is a child under the name that the configuration gives it.
type named struct {
	milterkit.Child
	name string
}

func (n named) Name() string { return n.name }

// Unwrap returns the child itself.
func (n named) Unwrap() milterkit.Child { return n.Child }

// Close closes the child, where it can be.
func (n named) Close() error {
	if c, ok := n.Child.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// closeChildren is closeAll for those of a server.
func closeChildren(server *milterkit.Server) error { return closeChain(server.Dispatcher) }

// closeChain is closeAll for those of a dispatcher.
func closeChain(d *milterkit.Dispatcher) error {
	var children []milterkit.Child
	for _, slot := range d.Slots() {
		children = append(children, slot.Child)
	}
	return closeAll(children)
}

// closeAll closes those children that can be, and returns what they had against
// it.
func closeAll(children []milterkit.Child) error {
	var errs []error
	for _, child := range children {
		if c, ok := child.(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", child.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}
