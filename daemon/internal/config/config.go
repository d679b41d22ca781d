// Package config reads milterkit's configuration file.
//
// Each value knows where it came from, so that messages can name file, line
// and column, and `milterkit show-config` can say who set what. Everything
// that is wrong with a file is told at once.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/options"
	"github.com/milterkit/sdk/internal/tomlfile"
	"github.com/milterkit/sdk/milterkit"
)

// Config is what the daemon is told to do.
type Config struct {
	File    string // as it was named
	Server  Server
	Milters []Milter // in the order in which they are asked
	Notes   []string // what an administrator should know of how it came about
	Unread  []string // what detection could not read
}

// Server is the section [server].
type Server struct {
	Listen          Value[[]Socket]
	SocketMode      Value[fs.FileMode]
	SocketGroup     Value[string] // empty: the group of the process
	User            Value[string] // dropped to, when started as root
	MaxSessions     Value[int]    // 0: no limit
	MaxMemory       Value[Size]
	TempDir         Value[string]
	MaxHeader       Value[Size]
	StageTimeout    Value[time.Duration]
	MessageTimeout  Value[time.Duration]
	ShutdownTimeout Value[time.Duration]
	DrainTimeout    Value[time.Duration] // of sessions that a reload or a restart has left behind
	Log             Value[string]        // "stderr" or "syslog"
	LogFormat       Value[string]        // "text" or "json"
	Status          Value[[]Socket]      // none: off
	Journal         Value[string]        // the file of the history of messages; empty: off
	JournalSize     Value[Size]
	Detect          Value[bool] // the milters of this machine are added
}

// Milter is one section [[milter]]. Either Use or Socket is set.
type Milter struct {
	From           Origin // of the section
	Name           Value[string]
	Use            Value[string]    // a native child
	Options        *options.Options // its own; nil where Use is empty, or something is wrong with them
	Socket         Value[Socket]    // of a remote child
	When           Value[string]    // a condition that compiles; empty: it always takes part
	ConnectTimeout Value[time.Duration]
	CommandTimeout Value[time.Duration]
	ContentTimeout Value[time.Duration]
	DefaultAction  Value[milterkit.DefaultAction]
	Pipeline       Value[bool] // of a remote child
	Together       Value[bool]
	Shadow         Value[bool]
	ShadowShare    Value[float64] // of the sessions, in which a shadow takes part; 1: all
	SendmailMacros Value[bool]    // of a remote child
	Macros         []Macro        // of a remote child's own
	Enabled        Value[bool]
}

// A Value is a setting and where it was set.
type Value[T any] struct {
	V    T
	From Origin
}

// An Origin is where a value came from: a line of a file, a file, or "detect" where
// detection has decided it. The zero Origin is the default.
type Origin struct {
	File         string
	Line, Column int
}

// String returns "default", "FILE:LINE", or FILE where there is no line.
func (o Origin) String() string {
	switch {
	case o.IsDefault():
		return "default"
	case o.Line == 0:
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// IsDefault reports whether nobody has set the value.
func (o Origin) IsDefault() bool { return o == Origin{} }

// An Error is something wrong at one place of the file, Errors is all of it.
type (
	Error  = tomlfile.Error
	Errors = tomlfile.Errors
)

// Enabled returns the milters that take part.
func (c *Config) Enabled() []Milter {
	var on []Milter
	for _, m := range c.Milters {
		if m.Enabled.V {
			on = append(on, m)
		}
	}
	return on
}

// Fault makes an error of what turned out to be wrong with a value of key when
// it was put to use.
func (c *Config) Fault(key string, from Origin, err error) Errors {
	e := &Error{File: c.File, Line: from.Line, Column: from.Column, Message: key + ": " + err.Error()}
	if from.Line > 0 {
		e.File = from.File // another than c.File, where the milter was detected
	}
	if from.IsDefault() {
		e.Message += " (this is the default)"
	}
	return Errors{e}
}

// ChildFault makes an error of what a native child has against its options, or
// against being made: for each of those that are about one option in its place,
// else in that of the milter.
func (c *Config) ChildFault(m *Milter, err error) Errors {
	var errs Errors
	for _, f := range m.Options.Faults(err) {
		e := &Error{File: c.File, Line: f.At.Line, Column: f.At.Column, Message: f.Message}
		if f.At.Line == 0 {
			e.Line, e.Column = m.Use.From.Line, m.Use.From.Column
		}
		about := f.Option
		if about == "" {
			about = m.Use.V
		}
		if !strings.HasPrefix(f.Message, about+": ") {
			e.Message = about + ": " + f.Message
		}
		errs = append(errs, e)
	}
	errs.Sort()
	return errs
}

func defaultServer() Server {
	return Server{
		Listen:          Value[[]Socket]{V: []Socket{{Network: "unix", Addr: "/run/milterkit/milterkit.sock"}}},
		SocketMode:      Value[fs.FileMode]{V: 0o660},
		SocketGroup:     Value[string]{V: "mail"},
		User:            Value[string]{V: "milterkit"},
		MaxMemory:       Value[Size]{V: milterkit.DefaultMaxMemory},
		TempDir:         Value[string]{V: "/var/tmp"},
		MaxHeader:       Value[Size]{V: milterkit.DefaultMaxHeader},
		StageTimeout:    Value[time.Duration]{V: milterkit.DefaultStageTimeout},
		MessageTimeout:  Value[time.Duration]{V: milterkit.DefaultMessageTimeout},
		ShutdownTimeout: Value[time.Duration]{V: 5 * time.Second},
		DrainTimeout:    Value[time.Duration]{V: 10 * time.Minute},
		Log:             Value[string]{V: "stderr"},
		LogFormat:       Value[string]{V: "text"},
		JournalSize:     Value[Size]{V: 256 << 20},
	}
}

func defaultMilter() Milter {
	return Milter{
		ConnectTimeout: Value[time.Duration]{V: 5 * time.Second},
		CommandTimeout: Value[time.Duration]{V: milterkit.DefaultCommandTimeout},
		ContentTimeout: Value[time.Duration]{V: milterkit.DefaultContentTimeout},
		DefaultAction:  Value[milterkit.DefaultAction]{V: milterkit.DefaultTempFail},
		Pipeline:       Value[bool]{V: true},
		ShadowShare:    Value[float64]{V: 1},
		Enabled:        Value[bool]{V: true},
	}
}

// Natives are the native children that a program has, by the names that `use`
// knows them by, with the options that each takes.
type Natives map[string]*options.Schema

// Load reads the file. An error is of type Errors. With it there may be what could
// be read of the file all the same, for which other things can be looked at.
func Load(file string, natives Natives) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		message := err.Error()
		if pe, ok := err.(*fs.PathError); ok {
			message = "the configuration cannot be read: " + pe.Err.Error()
			if errors.Is(err, fs.ErrPermission) {
				message += "; run this as root"
			}
		}
		return nil, Errors{{File: file, Message: message}}
	}
	return Parse(file, data, natives)
}

// Parse is Load for a file that has been read already; file is its name in
// messages.
func Parse(file string, data []byte, natives Natives) (*Config, error) {
	l := &loader{natives: natives, config: &Config{File: file, Server: defaultServer()}}
	if root := tomlfile.Parse(data, l.report); root != nil {
		l.load(root)
	} else {
		l.config = nil
	}
	if len(l.errs) > 0 {
		l.errs.Sort()
		return l.config, l.errs
	}
	return l.config, nil
}
