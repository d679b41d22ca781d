package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/milterkit/sdk/daemon/internal/options"
	"github.com/milterkit/sdk/internal/tomlfile"
)

// A setting is a value on its way to paper, of a type that tomlfile.Literal
// takes, or a section, or a []section, which is a list of tables.
type setting struct {
	key   string
	value any
	from  Origin
}

// section is the settings of one table, in the order of the documentation.
type section []setting

func (s *Server) settings() section {
	return section{
		{"listen", texts(s.Listen.V), s.Listen.From},
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
		duration("drain_timeout", s.DrainTimeout),
		{"log", s.Log.V, s.Log.From},
		{"log_format", s.LogFormat.V, s.LogFormat.From},
		{"status", texts(s.Status.V), s.Status.From},
		{"journal", s.Journal.V, s.Journal.From},
		{"journal_size", s.JournalSize.V.String(), s.JournalSize.From},
		{"detect", s.Detect.V, s.Detect.From},
	}
}

func texts(sockets []Socket) []string {
	list := make([]string, len(sockets))
	for i, s := range sockets {
		list[i] = s.String()
	}
	return list
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
	out = append(out,
		setting{"together", m.Together.V, m.Together.From},
		setting{"shadow", m.Shadow.V, m.Shadow.From},
	)
	if m.Shadow.V {
		out = append(out, setting{"shadow_share", m.ShadowShare.V, m.ShadowShare.From})
	}
	if remote {
		out = append(out, setting{"sendmail_macros", m.SendmailMacros.V, m.SendmailMacros.From})
	}
	return append(out, setting{"enabled", m.Enabled.V, m.Enabled.From})
}

// optionSettings are the options of a native child, those of sections as
// section.option.
func (m *Milter) optionSettings() section {
	if m.Options == nil {
		return nil
	}
	return optionSection(m.From.File, m.Options.Settings())
}

func optionSection(file string, settings []options.Setting) section {
	out := make(section, len(settings))
	for i, s := range settings {
		from := Origin{file, s.At.Line, s.At.Column}
		if s.At == (tomlfile.Place{}) {
			from = Origin{}
		}
		out[i] = setting{s.Option, s.Value, from}
		if text, ok := s.Value.(string); ok && s.Secret {
			out[i].value = secret(text)
		}
		if list, ok := s.Value.([][]options.Setting); ok {
			tables := make([]section, len(list))
			for j := range list {
				tables[j] = optionSection(file, list[j])
			}
			out[i].value = tables
		}
	}
	return out
}

func duration(key string, v Value[time.Duration]) setting {
	return setting{key, tomlfile.FormatDuration(v.V), v.From}
}

// TOML writes the configuration as a file that can be loaded again. Behind
// each value stands where it came from. A secret is not shown: its line is a comment.
func (c *Config) TOML() []byte { return c.toml(func(s section) section { return s }) }

// Shown is TOML for the eyes of others: what looks like a secret is hidden too.
func (c *Config) Shown() []byte { return c.toml(section.withoutSecrets) }

func (c *Config) toml(shown func(section) section) []byte {
	var b bytes.Buffer
	b.WriteString("[server]\n")
	shown(c.Server.settings()).toml(&b, "server")
	for i := range c.Milters {
		b.WriteString("\n[[milter]]\n")
		shown(c.Milters[i].settings()).toml(&b, "milter")
		if set := c.Milters[i].macroSettings(); len(set) > 0 {
			b.WriteString("[milter.macros]\n")
			shown(set).toml(&b, "milter.macros")
		}
		if set := c.Milters[i].optionSettings(); len(set) > 0 {
			b.WriteString("[milter.options]\n")
			shown(set).toml(&b, "milter.options")
		}
	}
	return b.Bytes()
}

// toml writes the lines of the section of that name, the comments below each
// other, and then the tables of its lists.
func (s section) toml(b *bytes.Buffer, name string) {
	var plain section
	var lines []string
	width := 0
	for _, v := range s {
		if list, ok := v.value.([]section); ok {
			if len(list) > 0 {
				continue
			}
			v.value = []any{}
		}
		key := bareKey(v.key)
		if s, ok := v.value.(secret); ok {
			text, hidden := s.shown()
			if v.value = text; hidden {
				key = "# " + key
			}
		}
		line := fmt.Sprintf("%-16s = %s", key, tomlfile.Literal(v.value))
		plain, lines = append(plain, v), append(lines, line)
		if n := len(line); n <= 60 {
			width = max(width, n)
		}
	}
	for i, v := range plain {
		// A file's name can hold anything, a comment cannot.
		from := strings.Map(func(r rune) rune {
			if isControl(r) {
				return '?'
			}
			return r
		}, v.from.String())
		fmt.Fprintf(b, "%-*s  # %s\n", width, lines[i], from)
	}
	for _, v := range s {
		list, _ := v.value.([]section)
		for _, table := range list {
			fmt.Fprintf(b, "[[%s.%s]]\n", name, v.key)
			table.toml(b, name+"."+v.key)
		}
	}
}

// bareKey is a key as it stands in TOML: the name of a macro has braces.
func bareKey(key string) string {
	if key == "." || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" {
		return tomlfile.Literal(key)
	}
	return key
}

// JSON writes the same for programs: each value is an object of "value" and
// "from".
func (c *Config) JSON() ([]byte, error) {
	milters := make([]section, len(c.Milters))
	for i := range c.Milters {
		milters[i] = c.Milters[i].settings()
		if set := c.Milters[i].macroSettings(); len(set) > 0 {
			milters[i] = append(milters[i], setting{key: "macros", value: set})
		}
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
// within it is an object, too, and a list of tables one of objects.
func (s section) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, v := range s {
		var object any
		if s, ok := v.value.(secret); ok {
			v.value, _ = s.shown()
		}
		switch inner := v.value.(type) {
		case section, []section:
			object = inner
		default:
			object = struct {
				Value any    `json:"value"`
				From  string `json:"from"`
			}{v.value, v.from.String()}
		}
		content, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", v.key, content)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
