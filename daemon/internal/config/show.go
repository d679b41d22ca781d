package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/milterkit/sdk/internal/tomlfile"
)

// A setting is a value on its way to paper, of a type that tomlfile.Literal
// takes.
type setting struct {
	key   string
	value any
	from  Origin
}

// section is the settings of one table, in the order of the documentation.
type section []setting

func (s *Server) settings() section {
	listen := make([]string, len(s.Listen.V))
	for i, socket := range s.Listen.V {
		listen[i] = socket.String()
	}
	return section{
		{"listen", listen, s.Listen.From},
		{"socket_mode", formatMode(s.SocketMode.V), s.SocketMode.From},
		{"socket_group", s.SocketGroup.V, s.SocketGroup.From},
		{"user", s.User.V, s.User.From},
		{"max_sessions", s.MaxSessions.V, s.MaxSessions.From},
		{"max_memory", s.MaxMemory.V.String(), s.MaxMemory.From},
		{"temp_dir", s.TempDir.V, s.TempDir.From},
		{"max_header", s.MaxHeader.V.String(), s.MaxHeader.From},
		duration("stage_timeout", s.StageTimeout),
		duration("message_timeout", s.MessageTimeout),
		duration("shutdown_timeout", s.ShutdownTimeout),
		{"log", s.Log.V, s.Log.From},
		{"status", s.Status.V.String(), s.Status.From},
	}
}

func (m *Milter) settings() section {
	out := section{{"name", m.Name.V, m.Name.From}}
	if m.Use.V != "" {
		out = append(out, setting{"use", m.Use.V, m.Use.From})
	} else {
		out = append(out, setting{"socket", m.Socket.V.String(), m.Socket.From})
	}
	remote := m.Use.V == ""
	out = append(out, setting{"when", m.When.V, m.When.From})
	if remote {
		out = append(out, duration("connect_timeout", m.ConnectTimeout))
	}
	out = append(out,
		duration("command_timeout", m.CommandTimeout),
		duration("content_timeout", m.ContentTimeout),
		setting{"default_action", m.DefaultAction.V.String(), m.DefaultAction.From},
	)
	if remote {
		out = append(out, setting{"pipeline", m.Pipeline.V, m.Pipeline.From})
	}
	return append(out,
		setting{"together", m.Together.V, m.Together.From},
		setting{"shadow", m.Shadow.V, m.Shadow.From},
		setting{"enabled", m.Enabled.V, m.Enabled.From},
	)
}

// optionSettings are the options of a native child, those of sections as
// section.option.
func (m *Milter) optionSettings() section {
	if m.Options == nil {
		return nil
	}
	var out section
	for _, s := range m.Options.Settings() {
		from := Origin{m.From.File, s.At.Line, s.At.Column}
		if s.At == (tomlfile.Place{}) {
			from = Origin{}
		}
		out = append(out, setting{s.Option, s.Value, from})
	}
	return out
}

func duration(key string, v Value[time.Duration]) setting {
	return setting{key, tomlfile.FormatDuration(v.V), v.From}
}

// TOML writes the configuration as a file that can be loaded again. Behind
// each value stands where it came from.
func (c *Config) TOML() []byte {
	var b bytes.Buffer
	b.WriteString("[server]\n")
	c.Server.settings().toml(&b)
	for i := range c.Milters {
		b.WriteString("\n[[milter]]\n")
		c.Milters[i].settings().toml(&b)
		if set := c.Milters[i].optionSettings(); len(set) > 0 {
			b.WriteString("[milter.options]\n")
			set.toml(&b)
		}
	}
	return b.Bytes()
}

// toml writes the lines of a section, the comments below each other.
func (s section) toml(b *bytes.Buffer) {
	lines, width := make([]string, len(s)), 0
	for i, v := range s {
		lines[i] = fmt.Sprintf("%-16s = %s", v.key, tomlfile.Literal(v.value))
		if n := len(lines[i]); n <= 60 {
			width = max(width, n)
		}
	}
	for i, v := range s {
		// A file's name can hold anything, a comment cannot.
		from := strings.Map(func(r rune) rune {
			if isControl(r) {
				return '?'
			}
			return r
		}, v.from.String())
		fmt.Fprintf(b, "%-*s  # %s\n", width, lines[i], from)
	}
}

// JSON writes the same for programs: each value is an object of "value" and
// "from".
func (c *Config) JSON() ([]byte, error) {
	milters := make([]section, len(c.Milters))
	for i := range c.Milters {
		milters[i] = c.Milters[i].settings()
		if set := c.Milters[i].optionSettings(); len(set) > 0 {
			milters[i] = append(milters[i], setting{key: "options", value: set})
		}
	}
	return json.MarshalIndent(struct {
		Server section   `json:"server"`
		Milter []section `json:"milter"`
	}{c.Server.settings(), milters}, "", "  ")
}

// MarshalJSON writes an object whose keys are in the section's order; a section
// within it is an object, too.
func (s section) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, v := range s {
		var object any = struct {
			Value any    `json:"value"`
			From  string `json:"from"`
		}{v.value, v.from.String()}
		if inner, ok := v.value.(section); ok {
			object = inner
		}
		content, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		separator := ","
		if i == 0 {
			separator = "{"
		}
		fmt.Fprintf(&b, "%s%q:%s", separator, v.key, content)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
