package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"pgregory.net/rapid"
)

// drawConfig makes any configuration that can be loaded. All its values have
// one origin, which is not the default.
func drawConfig(t *rapid.T) *Config {
	at := Origin{"f", 1, 1}
	sockets := rapid.Custom(func(t *rapid.T) Socket {
		return rapid.SampledFrom([]Socket{
			{Network: "unix", Addr: "/" + rapid.StringMatching(`[a-z"\\ #é]{1,20}`).Draw(t, "path") + "x"},
			{Network: "tcp", Addr: fmt.Sprintf("127.0.0.1:%d", rapid.IntRange(1, 65535).Draw(t, "port"))},
			{Network: "tcp", Addr: "[::1]:9"}, {Network: "tcp6", Addr: "mx:9"},
		}).Draw(t, "socket")
	})
	span := func(name string) Value[time.Duration] {
		return Value[time.Duration]{time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, name)), at}
	}
	flag := func(name string) Value[bool] { return Value[bool]{rapid.Bool().Draw(t, name), at} }
	c := &Config{File: "f", Server: Server{
		Listen:         Value[[]Socket]{rapid.SliceOfNDistinct(sockets, 1, 4, rapid.ID).Draw(t, "listen"), at},
		SocketMode:     Value[fs.FileMode]{fs.FileMode(rapid.Uint32Range(0, 0o777).Draw(t, "mode") | 0o200), at},
		SocketGroup:    Value[string]{rapid.StringMatching(`[a-z"\\#é]{0,9}`).Draw(t, "group"), at},
		User:           Value[string]{rapid.StringMatching(`[a-z"\\#é]{1,9}`).Draw(t, "user"), at},
		MaxSessions:    Value[int]{0, at},
		MaxMemory:      Value[Size]{Size(rapid.Int64Range(1, math.MaxInt64).Draw(t, "memory")), at},
		TempDir:        Value[string]{"/" + rapid.StringMatching(`[a-z"\\#é ]{0,9}`).Draw(t, "dir"), at},
		MaxHeader:      Value[Size]{Size(rapid.Int64Range(1, 1<<30).Draw(t, "header")), at},
		StageTimeout:   span("stage"),
		MessageTimeout: span("message"), ShutdownTimeout: span("shutdown"), DrainTimeout: span("drain"),
		Log:         Value[string]{rapid.SampledFrom([]string{"stderr", "syslog"}).Draw(t, "log"), at},
		Status:      Value[[]Socket]{rapid.SampledFrom([][]Socket{nil, {{Network: "tcp", Addr: "127.0.0.1:70"}}, {{Network: "unix", Addr: "/s"}, {Network: "tcp", Addr: "[::1]:70"}}}).Draw(t, "status"), at},
		LogFormat:   Value[string]{rapid.SampledFrom([]string{"text", "json"}).Draw(t, "format"), at},
		Journal:     Value[string]{rapid.SampledFrom([]string{"", "/j"}).Draw(t, "journal"), at},
		JournalSize: Value[Size]{Size(rapid.Int64Range(8<<20, math.MaxInt64).Draw(t, "journal size")), at},
		Detect:      Value[bool]{rapid.Bool().Draw(t, "detect"), at},
	}}
	if slices.ContainsFunc(c.Server.Status.V, func(s Socket) bool { return slices.Contains(c.Server.Listen.V, s) }) {
		c.Server.Status.V = nil // it can not be both
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "milters") {
		m := Milter{
			From:           at,
			Name:           Value[string]{fmt.Sprintf("%s%d", rapid.StringMatching(`[a-zé._-]{0,9}`).Draw(t, "name"), i), at},
			Socket:         Value[Socket]{Socket{Network: "unix", Addr: fmt.Sprintf("/%d", i)}, at},
			When:           Value[string]{rapid.SampledFrom([]string{"", "local", "helo ==\n\t\"\\u00e9\" // a\r\n"}).Draw(t, "when"), at},
			ConnectTimeout: span("connect"), CommandTimeout: span("command"), ContentTimeout: span("content"),
			DefaultAction: Value[milterkit.DefaultAction]{rapid.SampledFrom([]milterkit.DefaultAction{0, 1, 2, 3, 4}).Draw(t, "action"), at},
			Pipeline:      flag("pipeline"), Together: flag("together"), Shadow: flag("shadow"), Enabled: flag("enabled"),
		}
		m.Together.V = m.Together.V && i > 0
		m.ShadowShare, m.SendmailMacros, m.Macros = defaultMilter().ShadowShare, flag("sendmail"), drawMacros(t, at)
		if m.Shadow.V {
			m.ShadowShare = Value[float64]{rapid.Float64Range(1e-9, 1).Draw(t, "share"), at}
		}
		if rapid.Bool().Draw(t, "native") {
			m.Use, m.Socket = Value[string]{"known", at}, Value[Socket]{}
			m.Options = known["known"].Read(nil, nil, nil)
			m.ConnectTimeout, m.Pipeline = defaultMilter().ConnectTimeout, defaultMilter().Pipeline // it has none
			m.SendmailMacros, m.Macros = Value[bool]{}, nil
		}
		c.Milters = append(c.Milters, m)
	}
	return c
}

func drawMacros(t *rapid.T, at Origin) (macros []Macro) {
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"i", ".", "{if_name}", `{a.b"\}`}), rapid.ID).Draw(t, "macros") {
		m := Macro{Name: name, Value: rapid.StringMatching(`[a-z"\\{}# é]{0,9}`).Draw(t, "value"), From: at}
		if m.When = rapid.SampledFrom([]string{"", "local", "helo == \"a\""}).Draw(t, "when"); m.When != "" && rapid.Bool().Draw(t, "else") {
			m.Otherwise = &m.Value
		}
		macros = append(macros, m)
	}
	return macros
}

// What show-config writes can be loaded, and is the same configuration.
func TestShownIsLoaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		text := c.TOML()
		again, err := Parse("f", text, known)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for i := range c.Milters {
			a, b := &c.Milters[i], &again.Milters[i]
			if a.Options != nil && (b.Options == nil || fmt.Sprint(a.Options.Value()) != fmt.Sprint(b.Options.Value())) {
				t.Fatalf("the options were %v\n%s", a.Options.Value(), again.TOML())
			}
			a.Options, b.Options = nil, nil // their places differ
		}
		samePlace(reflect.ValueOf(again))
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("\n%s\n%s", text, again.TOML())
		}
	})
}

// samePlace gives all values of a configuration the origin of drawConfig.
func samePlace(v reflect.Value) {
	if o, ok := v.Interface().(Origin); ok {
		if !o.IsDefault() {
			v.Set(reflect.ValueOf(Origin{"f", 1, 1}))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			samePlace(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			samePlace(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			samePlace(v.Index(i))
		}
	}
}

func TestShownValuesSayWhereTheyAreFrom(t *testing.T) {
	c, err := Parse("/etc/\n#f", []byte("[server]\nuser = \"a\"\n[[milter]]\nname = \"x\"\nsocket = \"/x\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"user             = \"a\"", "# /etc/?#f:2\n", "name             = \"x\"         # /etc/?#f:4\n", "enabled          = true        # default\n"} {
		if !strings.Contains(string(c.TOML()), want) {
			t.Errorf("%q is missing in\n%s", want, c.TOML())
		}
	}
}

func TestShownJSONIsInOrder(t *testing.T) {
	c, err := Parse("f", []byte("[[milter]]\nname = \"x\"\nsocket = \"/x\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.JSON()
	if err != nil || !json.Valid(b) {
		t.Fatalf("%v\n%s", err, b)
	}
	var got struct {
		Milter []struct{ Name struct{ Value, From string } }
	}
	if err := json.Unmarshal(b, &got); err != nil || got.Milter[0].Name.Value != "x" || got.Milter[0].Name.From != "f:2" {
		t.Errorf("%v, %+v", err, got)
	}
	if s := string(b); strings.Index(s, `"listen"`) > strings.Index(s, `"user"`) {
		t.Errorf("out of order:\n%s", s)
	}
}

// Whatever a file holds, the loader says where it is wrong, and what it takes
// can be shown and loaded again.
func FuzzParse(f *testing.F) {
	for _, c := range wrongFiles {
		f.Add([]byte(c.file))
	}
	for _, c := range wrongConditions[:20] {
		f.Add([]byte("[[milter]]\nname = \"a\"\nsocket = \"/a\"\nwhen = '''" + c.text + "'''\n"))
	}
	f.Add([]byte(native + "hours = {to = 3}\ndelay = \"-1h\"\n"))
	f.Add([]byte("[server]\nuser = \"\xff\"\n"))
	f.Add([]byte("[server.x]\n[server]\n[milter.options]\n[[milter]]\nmilter.a.b = {c = [{}, 1]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data, known)
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("%T", err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, e := range errs {
				if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Column > len(data)+1 || strings.ContainsAny(e.Message, "\n\x00\x1b") {
					t.Fatalf("%+v", e)
				}
			}
			return
		}
		again, err := Parse("f", c.TOML(), known)
		if err != nil {
			t.Fatalf("%v\n%s", err, c.TOML())
		}
		for i := range c.Milters {
			if string(again.Milters[i].optionSettings().values()) != string(c.Milters[i].optionSettings().values()) {
				t.Fatalf("\n%s\n%s", c.TOML(), again.TOML())
			}
		}
		if string(again.Server.settings().values()) != string(c.Server.settings().values()) {
			t.Fatalf("\n%s\n%s", c.TOML(), again.TOML())
		}
	})
}

// values is a section without its origins.
func (s section) values() []byte {
	var b []byte
	for _, v := range s {
		b = fmt.Appendf(b, "%s=%v\n", v.key, v.value)
	}
	return b
}
