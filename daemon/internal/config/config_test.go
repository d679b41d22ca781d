package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
)

// wrongFiles states what a wrong file is told, each line of want being one
// message without the file's name.
var wrongFiles = []struct{ rule, file, want string }{
	{"an unknown key is told with the nearest known one",
		"[server]\nlisen = []\n", `2:1: unknown key "lisen" in [server]; did you mean "listen"?`},
	{"all unknown keys are told at once, by place",
		"[[milter]]\nname = \"a\"\nsocket = \"/a\"\n  contenttimeout = 1\nfoo.bar = 2\n[sever]\n",
		"4:3: unknown key \"contenttimeout\" in [[milter]]; did you mean \"content_timeout\"?\n" +
			"5:1: unknown key \"foo\" in [[milter]]\n" +
			`6:2: unknown section "sever"; did you mean [server]?`},
	{"a key in the wrong section is sent home",
		"user = \"x\"\n[server]\nshadow = true\n[[milter]]\nname=\"a\"\nsocket=\"/a\"\nlisten = []\n",
		"1:1: \"user\" belongs under [server]\n" +
			"3:1: \"shadow\" does not belong in [server], it belongs under [[milter]]\n" +
			`7:1: "listen" does not belong in [[milter]], it belongs under [server]`},
	{"an unknown section is told what there is",
		"[zzzzzzzz]\n", `1:2: unknown section "zzzzzzzz"; there are [server] and [[milter]]`},
	{"single brackets make no list", "[milter]\n", `1:2: each milter is a section of its own that begins with [[milter]], in double brackets`},
	{"double brackets make no section", "[[server]]\n", `1:3: there is one server: write [server], not [[server]]`},
	{"a section is not a value", "server = 1\n", `1:1: server is a section: write [server]`},
	{"a section is there once", "[server]\n[server]\n", `2:2: [server] is here a second time; the first is in line 1`},
	{"a key is set once", "[server]\nuser = \"a\"\nuser = \"b\"\n", `3:1: user is set a second time; the first is in line 2`},
	{"bad syntax is told alone", "[server]\nuser = milterkit\nlisen = 1\n",
		`2:8: this is not TOML: unexpected character U+006D 'm' at start of value (text stands in quotes: "…")`},
	{"what only the decoder finds has a place too", "[server]\nuser = 2026-02-31\n",
		`2:16: this is not TOML: impossible date`},

	{"text is in quotes", "[server]\ntemp_dir = 1\n", `2:12: temp_dir: this is a whole number; write text in quotes, such as "/var/tmp"`},
	{"truth is not", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\nshadow = \"true\"\n", `4:10: shadow: this is a string; write true or false, without quotes`},
	{"a time has a unit", "[server]\nstage_timeout = \"25\"\n", `2:17: stage_timeout: "25" has no unit; for seconds write "25s"`},
	{"a bare number is no time", "[server]\nstage_timeout = 25\n", `2:17: stage_timeout: this is a whole number; write text in quotes, such as "25s"`},
	{"an empty time is no time", "[server]\nstage_timeout = \"\"\n", `2:17: stage_timeout: "" is not a time; write numbers with the units h, m, s or ms, such as "25s" or "4m50s"`},
	{"a time is positive", "[server]\nshutdown_timeout = \"-5s\"\n", `2:20: shutdown_timeout: a time is more than 0, such as "25s"; "-5s" is not`},
	{"a size has a whole unit", "[server]\nmax_memory = \"256M\"\n", `2:14: max_memory: "256M" is not a size; write "256MiB" or "256MB"`},
	{"a size is a number", "[server]\nmax_memory = \"much\"\n", `2:14: max_memory: "much" is not a size; write a whole number and a unit, such as "256MiB", "10MB" or "65536B"`},
	{"a size is positive", "[server]\nmax_memory = -1\nmax_header = \"0\"\n",
		"2:14: max_memory: a size is more than 0, such as \"256MiB\"\n" + `3:14: max_header: a size is more than 0, such as "256MiB"`},
	{"a journal is a file with room for something", "[server]\njournal = \"j.db\"\njournal_size = \"1MiB\"\n",
		"2:11: journal: \"j.db\" is not the path of a file; it begins with /, such as \"/var/lib/milterkit/journal.db\"\n" +
			`3:16: journal_size: a journal has room for little with less than "8MiB"`},
	{"a size has an end", "[server]\nmax_memory = \"99999999999GiB\"\nmax_header = \"2GiB\"\n",
		"2:14: max_memory: \"99999999999GiB\" is more than any computer has\n" + `3:14: max_header: a header stays in memory, so this is at most "1GiB"`},
	{"a mode is octal", "[server]\nsocket_mode = \"0680\"\n", `2:15: socket_mode: "0680" is not the mode of a socket; write three octal digits behind a 0, such as "0660"`},
	{"a mode has no more than nine bits", "[server]\nsocket_mode = \"4660\"\n", `2:15: socket_mode: "4660" is not the mode of a socket; write three octal digits behind a 0, such as "0660"`},
	{"a mode lets somebody in", "[server]\nsocket_mode = \"0444\"\n", `2:15: socket_mode: with the mode "0444" nobody could connect: that takes the right to write, as in "0660"`},
	{"a user has a name", "[server]\nuser = \"\"\nsocket_group = \"a b\"\n",
		"2:8: user: name a user, such as \"milterkit\"; \"root\" keeps the rights of root\n" + `3:16: socket_group: "a b" is not a name of the system`},
	{"temp_dir is absolute", "[server]\ntemp_dir = \"tmp\"\n", `2:12: temp_dir: "tmp" is not the path of a directory; it begins with /, such as "/var/tmp"`},
	{"there are two logs", "[server]\nlog = \"sylog\"\n", `2:7: log: "sylog" is unknown; did you mean "syslog"?`},
	{"and no third", "[server]\nlog = \"/var/log/milter\"\n", `2:7: log: "/var/log/milter" is unknown; there are stderr, syslog`},

	{"listen is a list", "[server]\nlisten = \"unix:/x\"\n", `2:10: listen: this is a string; write a list, such as ["unix:/run/milterkit/milterkit.sock"]`},
	{"listen is not empty", "[server]\nlisten = []\n", `2:1: listen: the list is empty, so no MTA could connect; write a list, such as ["unix:/run/milterkit/milterkit.sock"]`},
	{"each wrong socket of listen is told", "[server]\nlisten = [\"unix:x\", 7,\n  \"inett:1\", \"/x\", \"unix:/x\"]\n",
		"2:11: listen: the path of a unix socket begins with /, \"x\" does not\n" +
			"2:21: listen: this is a whole number; write text in quotes, such as \"unix:/run/milterkit/milterkit.sock\"\n" +
			"3:3: listen: \"inett\" is not a kind of socket; did you mean \"inet\"?\n" +
			`3:20: listen: unix:/x is in the list twice`},
	{"a child is not found by systemd", "[[milter]]\nname=\"a\"\nsocket=\"systemd:x\"\n", `3:8: socket: systemd: is for listen; a milter is found at unix:/PATH or inet:PORT@HOST`},
	{"milterkit does not ask itself", "[server]\nlisten=[\"inet:1@127.0.0.1\"]\n[[milter]]\nname=\"a\"\nsocket=\"inet:127.0.0.1:1\"\n",
		`5:1: socket: milterkit itself listens on inet:1@127.0.0.1: it would ask itself`},
	{"the status page is not a milter socket", "[server]\nlisten=[\"inet:1@127.0.0.1\"]\nstatus=\":1\"\n", `3:1: status: inet:1@127.0.0.1 is in listen already`},
	{"each address of the status is looked at", "[server]\nstatus=[\":1\", \"inet:1@127.0.0.1\", \"\", 1]\n",
		"2:15: status: inet:1@127.0.0.1 is in the list twice\n2:35: status: an empty text is no address\n" +
			`2:39: status: this is a whole number; write text in quotes, such as "127.0.0.1:8891"`},
	{"a status has a port", "[server]\nstatus=\"localhost\"\n",
		`2:8: status: "localhost" is not a socket; write unix:/PATH, inet:PORT@HOST, inet:HOST:PORT or inet6:PORT@[ADDRESS]; for the status page also "127.0.0.1:8891" will do`},

	{"a milter has a name and a socket", "[[milter]]\n", "1:3: this milter has no name; add name = \"…\"\n" +
		`1:3: this milter has neither a socket nor use; add socket = "unix:/…" or "inet:PORT@HOST"`},
	{"names differ", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\n[[milter]]\nname=\"a\"\nsocket=\"/b\"\n", `5:1: name: another milter is called "a", in line 2`},
	{"a name can be logged", "[[milter]]\nname=\"a\\nb\"\nsocket=\"/a\"\n", `2:6: name: "a\nb" is not a name; it has letters, digits, dots and dashes, at most 64`},
	{"socket and use exclude each other", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\nuse=\"known\"\n", `4:1: use: a milter has either socket (line 3) or use, not both`},
	{"an unknown native child is told with the nearest", "[[milter]]\nname=\"a\"\nuse=\"knwon\"\n", `3:5: use: there is no native child "knwon"; did you mean "known"?`},
	{"whatever its capitals", "[[milter]]\nname=\"a\"\nuse=\"Known\"\n", `3:5: use: there is no native child "Known"; did you mean "known"?`},
	{"or with what there is", "[[milter]]\nname=\"a\"\nuse=\"greylist\"\n", `3:5: use: there is no native child "greylist"; there are known, needy, never`},

	{"an option is of its type", native + "max = \"5\"\n", `5:7: max: this is a string; write a whole number, without quotes, such as 100`},
	{"all wrong options are told", native + "max = 5.5\ndelay = \"5\"\n",
		"5:7: max: this is a number; write a whole number, without quotes, such as 100\n" + `6:9: delay: "5" has no unit; for seconds write "5s"`},
	{"an unknown option is told with the nearest", native + "mx = 5\n", `5:1: unknown key "mx" in [milter.options]; did you mean "max"?`},
	{"a term of the milter among its options is sent home", native + "shadow = true\n",
		`5:1: "shadow" does not belong in [milter.options], it belongs under [[milter]]`},
	{"an option among the terms of the milter is sent home", "[[milter]]\nname=\"a\"\nmax=5\nuse=\"known\"\n",
		`3:1: "max" does not belong in [[milter]], it belongs under [milter.options]`},
	{"options may stand before use", "[[milter]]\nname=\"a\"\noptions.max=true\nuse=\"known\"\n",
		`3:13: max: this is true or false; write a whole number, without quotes, such as 100`},
	{"options are a section", "[[milter]]\nname=\"a\"\nuse=\"known\"\noptions=1\n", `4:9: options: this is a whole number; write a section of its own, [milter.options]`},
	{"options are one section", "[[milter]]\nname=\"a\"\nuse=\"known\"\n[[milter.options]]\n", `4:10: options: there is one section of them: write [milter.options], in single brackets`},
	{"options are for native children", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\n[milter.options]\n", `4:9: options: they are for a native child, which has use instead of socket`},
	{"what a child has against an option is told in its place", native + "max = 0\n", `5:1: max: 0 lets nobody in; write one such as 100`},
	{"what it has against a default is told in the milter's", native + "name = \"x\"\n", `3:1: delay: with the name x there is one (this is the default)`},
	{"what it has against all of them too", native + "delay = \"1h\"\n", `3:1: known: all in all; it is too much`},
	{"it may have several things against them", native + "max = 0\nname = \"x\"\n",
		"3:1: delay: with the name x there is one (this is the default)\n" + `5:1: max: 0 lets nobody in; write one such as 100`},
	{"what is about sockets is not for native children", native + "max = 5\n[[milter]]\nname=\"b\"\nuse=\"known\"\npipeline=true\n  connect_timeout=\"1s\"\ncommand_timeout=\"1s\"\n",
		"9:1: pipeline is for milters on a socket; this one runs in this process\n" +
			`10:3: connect_timeout is for milters on a socket; this one runs in this process`},
	{"an option of that name is one all the same", "[[milter]]\nname=\"a\"\nuse=\"needy\"\npipeline=5\n[milter.options]\nlist=\"/a\"\n",
		"4:1: pipeline is for milters on a socket; this one runs in this process, and its own pipeline belongs under [milter.options]\n" +
			`4:10: pipeline: this is a whole number; write true or false, without quotes`},
	{"a required option is missed where its section is", "[[milter]]\nname=\"a\"\nuse=\"needy\"\n[milter.options]\nmax=\"5\"\n",
		"4:9: [milter.options] needs \"list\", for example list = \"/etc/list\"\n" +
			`5:5: max: this is a string; write a whole number, without quotes, such as 10`},
	{"or where that could be", "[[milter]]\nname=\"a\"\nuse=\"needy\"\n", `3:1: [milter.options] needs "list", for example list = "/etc/list"`},
	{"nothing is missed that has a wrong name", "[[milter]]\nname=\"a\"\nuse=\"needy\"\n[milter.options]\nlst=\"\"\n",
		`5:1: unknown key "lst" in [milter.options]; did you mean "list"?`},
	{"nor what stands in a section with a wrong name", "[[milter]]\nname=\"a\"\nuse=\"needy\"\n[milter.option]\nlist=\"\"\n",
		`4:9: unknown key "option" in [[milter]]; did you mean "options"?`},
	{"nor at the top of the file", "[[milter]]\nname=\"a\"\nuse=\"needy\"\n[options]\nlist=\"\"\n",
		`4:2: unknown section "options"; did you mean [milter.options]?`},
	{"nor in the milter", "[[milter]]\nname=\"a\"\nuse=\"needy\"\nlist=\"\"\n",
		`4:1: "list" does not belong in [[milter]], it belongs under [milter.options]`},
	{"nor in a value that is no section", "[[milter]]\nname=\"a\"\nuse=\"needy\"\noptions=\"\"\n",
		`4:9: options: this is a string; write a section of its own, [milter.options]`},
	{"what a child has against its options is told beside other errors", "[server]\nusr=\"a\"\n" + native + "max = 0\n",
		"2:1: unknown key \"usr\" in [server]; did you mean \"user\"?\n" + `7:1: max: 0 lets nobody in; write one such as 100`},
	{"but not after an error that may be its reason", "[[milter]]\nname=\"a\"\nuse=\"never\"\n[milter.optons]\nlist=\"\"\n",
		`4:9: unknown key "optons" in [[milter]]; did you mean "options"?`},
	{"a limit of sessions is a number", "[server]\nmax_sessions=-9\n", `2:14: max_sessions: -9 is no number of sessions; write one such as 500, or 0 for no limit`},
	{"a default action is one of five", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\ndefault_action=\"tempfial\"\n", `4:16: default_action: "tempfial" is unknown; did you mean "tempfail"?`},
	{"and they are told", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\ndefault_action=\"4xx\"\n",
		`4:16: default_action: "4xx" is unknown; there are tempfail, accept, reject, discard, quarantine`},
	{"a share is of a shadow", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\nshadow_share=0.5\n", `4:1: shadow_share is for a milter with shadow = true`},
	{"a share is a number", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\nshadow=true\nshadow_share=\"10%\"\n",
		`5:14: shadow_share: this is a string; write a number, without quotes, such as 0.1 for a tenth`},
	{"a share is no more than all, and not nothing", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\nshadow=true\nshadow_share=10\n[[milter]]\nname=\"b\"\nsocket=\"/b\"\nshadow=true\nshadow_share=nan\n",
		"5:14: shadow_share: 10 is no share of the sessions; write a number above 0 and up to 1, such as 0.1 for a tenth\n" +
			`10:14: shadow_share: nan is no share of the sessions; write a number above 0 and up to 1, such as 0.1 for a tenth`},
	{"macros are a section", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\nmacros=1\n",
		`4:8: macros: this is a whole number; write a section of its own, [milter.macros], with lines such as "{if_name}" = "mx.example.org"`},
	{"macros are for milters on a socket", "[[milter]]\nname=\"a\"\nuse=\"known\"\nsendmail_macros=true\n[milter.macros]\nx=\"1\"\n",
		"4:1: sendmail_macros is for milters on a socket; this one runs in this process\n" +
			`5:9: macros is for milters on a socket; this one runs in this process`},
	{"a macro has a name, once, and a value that can be sent", ownMacros + "\"{a b}\"=\"1\"\n\"{x}\"=\"1\"\nx=\"2\"\nabc=1\nabd=\"\\n\"\n",
		"5:1: macros: \"{a b}\" is not the name of a macro; write it as the MTA does, such as \"{if_name}\"\n" +
			"7:1: macros: x is set a second time; the first is in line 6\n" +
			"8:5: {abc}: this is a whole number; write text in quotes, such as \"yes\"\n" +
			`9:5: {abd}: the value of a macro has no control characters`},
	{"a macro with a condition has a value, and a condition that compiles", ownMacros + "abc={when=\"trustd\"}\nabd={value=\"1\",wen=\"a\",else=\"2\"}\n",
		"5:5: {abc}: it has no value; write { value = \"yes\", when = \"trusted\" }\n" +
			"5:12: when: unknown name \"trustd\"; did you mean \"trusted\"?\n" +
			"6:16: {abd}: unknown key \"wen\"; did you mean \"when\"?\n" +
			`6:24: {abd}: else is for a macro with a condition, when`},
	{"the first milter has none before it", "[[milter]]\nname=\"a\"\nsocket=\"/a\"\ntogether=true\n", `4:1: together: there is no milter before the first one that it could run together with`},
}

// ownMacros is a file up to the macros of a milter.
const ownMacros = "[[milter]]\nname=\"a\"\nsocket=\"/a\"\n[milter.macros]\n"

func TestWrongFiles(t *testing.T) {
	for _, c := range wrongFiles {
		t.Run(c.rule, func(t *testing.T) {
			_, err := Parse("f.toml", []byte(c.file), known)
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), "f.toml:", ""); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	const file = `
[server]
listen = ["unix:/a", "inet:25@127.0.0.1", "systemd:milter"]
socket_mode = "0600"
socket_group = "adm"
user = "nobody"
max_sessions = 0
max_memory = "10MB"
temp_dir = "/tmp"
max_header = 65_536
stage_timeout = "1s"
message_timeout = "1h"
shutdown_timeout = "1.5s"
log = "syslog"
log_format = "json"
drain_timeout = "1m"
status = ["[::1]:8891", "unix:/s"]
journal = "/j/j.db"
journal_size = "1GiB"
detect = true

[[milter]]
name = "a"
socket = "local:/b"

[[milter]]
name = "b"
socket = "inet:localhost:26"
connect_timeout = "1s"
command_timeout = "2s"
content_timeout = "3s"
default_action = "quarantine"
when = "authenticated && !local"
pipeline = false
together = true
shadow = true
shadow_share = 0.1
sendmail_macros = true
enabled = false
[milter.macros]
x = "1"
"{trusted_domain}" = { value = "yes", when = "trusted", else = "no" }
`
	c, err := Parse("f", []byte(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(c.Server.settings(), c.Milters[1].settings()...) {
		if s.from.IsDefault() {
			t.Errorf("%s was not read", s.key)
		}
	}
	s := c.Server
	if s.SocketMode.V != fs.FileMode(0o600) || s.MaxMemory.V != 10e6 || s.MaxHeader.V != 65536 ||
		s.ShutdownTimeout.V != 1500*time.Millisecond || !slices.Equal(s.Status.V, []Socket{{Network: "tcp", Addr: "[::1]:8891"}, {Network: "unix", Addr: "/s"}}) || s.DrainTimeout.V != time.Minute || s.Journal.V != "/j/j.db" || s.JournalSize.V != 1<<30 || len(s.Listen.V) != 3 {
		t.Errorf("got %+v", s)
	}
	m := c.Milters[1]
	if m.Socket.V != (Socket{Network: "tcp", Addr: "localhost:26"}) || m.DefaultAction.V != milterkit.DefaultQuarantine || m.When.V != "authenticated && !local" || m.Pipeline.V || !m.Together.V || m.Enabled.V {
		t.Errorf("got %+v", m)
	}
	if n := len(m.Macros); n != 2 || m.Macros[0].Name != "x" || m.Macros[1].When != "trusted" || m.Macros[1].Value != "yes" || *m.Macros[1].Otherwise != "no" {
		t.Errorf("got %+v", m.Macros)
	}
	if m.ShadowShare.V != 0.1 || !m.SendmailMacros.V {
		t.Errorf("got %+v", m)
	}
	if got := m.Name.From.String(); got != "f:27" {
		t.Errorf("name is from %s", got)
	}
	if len(c.Enabled()) != 1 {
		t.Errorf("%d milters take part", len(c.Enabled()))
	}
}

func TestInlineFormsAreTheSame(t *testing.T) {
	c, err := Parse("f", []byte(`server = {user = "nobody"}`+"\n"+`milter = [{name = "a", socket = "/a"}, {name = "b", socket = "/b"}]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.User.V != "nobody" || len(c.Milters) != 2 || c.Milters[1].Name.V != "b" {
		t.Errorf("got %+v", c)
	}
}

func TestAFileThatIsNotThereIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no.toml")
	_, err := Load(file, nil)
	var errs Errors
	if !errors.As(err, &errs) || err.Error() != file+": the configuration cannot be read: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultsAreThoseOfAnEmptyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[server]
listen           = ["unix:/run/milterkit/milterkit.sock"]  # default
socket_mode      = "0660"                                  # default
socket_group     = "mail"                                  # default
user             = "milterkit"                             # default
max_sessions     = 0                                       # default
max_memory       = "256MiB"                                # default
temp_dir         = "/var/tmp"                              # default
max_header       = "1MiB"                                  # default
stage_timeout    = "25s"                                   # default
message_timeout  = "4m50s"                                 # default
shutdown_timeout = "5s"                                    # default
drain_timeout    = "10m"                                   # default
log              = "stderr"                                # default
log_format       = "text"                                  # default
status           = []                                      # default
journal          = ""                                      # default
journal_size     = "256MiB"                                # default
detect           = false                                   # default
`
	if got := string(c.TOML()); got != want {
		t.Errorf("got\n%s", got)
	}
}
