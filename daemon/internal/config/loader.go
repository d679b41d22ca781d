package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/milterkit/sdk/daemon/internal/options"
	"github.com/milterkit/sdk/daemon/internal/when"
	"github.com/milterkit/sdk/internal/nearest"
	"github.com/milterkit/sdk/internal/tomlfile"
	"github.com/milterkit/sdk/milterkit"
)

// loader turns a document into a Config, and collects what is wrong with it.
type loader struct {
	config  *Config
	natives Natives
	errs    Errors
	child   *options.Schema // of the milter at hand, where it is native
	astray  bool            // a section stands at the top that was meant for options

	conditions when.Env
}

func (l *loader) report(at tomlfile.Place, message string) {
	l.errs = append(l.errs, &Error{File: l.config.File, Line: at.Line, Column: at.Column, Message: message})
}

func (l *loader) origin(at tomlfile.Place) Origin { return Origin{l.config.File, at.Line, at.Column} }

// A key is one that a section knows, and what is done with its value.
type key struct {
	name string
	set  func(*tomlfile.Field)
}

// into returns the setter that reads a value into v.
func into[T any](l *loader, v *Value[T], read func(*tomlfile.Value) (T, error)) func(*tomlfile.Field) {
	return func(f *tomlfile.Field) {
		got, err := read(f.Val)
		if err != nil {
			l.report(f.Val.At, f.Name+": "+err.Error())
			return
		}
		*v = Value[T]{got, l.origin(f.At)}
	}
}

func (l *loader) serverKeys(s *Server) []key {
	duration := tomlfile.Text("25s", parseDuration)
	return []key{
		{"listen", into(l, &s.Listen, l.readListen)},
		{"socket_mode", into(l, &s.SocketMode, tomlfile.Text("0660", parseMode))},
		{"socket_group", into(l, &s.SocketGroup, tomlfile.Text("mail", parseWord))},
		{"user", into(l, &s.User, tomlfile.Text("milterkit", parseUser))},
		{"max_sessions", into(l, &s.MaxSessions, readMaxSessions)},
		{"max_memory", into(l, &s.MaxMemory, readSize)},
		{"temp_dir", into(l, &s.TempDir, tomlfile.Text("/var/tmp", parseDir))},
		{"max_header", into(l, &s.MaxHeader, readMaxHeader)},
		{"stage_timeout", into(l, &s.StageTimeout, duration)},
		{"message_timeout", into(l, &s.MessageTimeout, duration)},
		{"shutdown_timeout", into(l, &s.ShutdownTimeout, duration)},
		{"drain_timeout", into(l, &s.DrainTimeout, duration)},
		{"log", into(l, &s.Log, tomlfile.Text("stderr", parseOneOf("stderr", "syslog")))},
		{"log_format", into(l, &s.LogFormat, tomlfile.Text("text", parseOneOf("text", "json")))},
		{"status", into(l, &s.Status, l.readStatus)},
		{"journal", into(l, &s.Journal, tomlfile.Text("/var/lib/milterkit/journal.db", parseJournal))},
		{"journal_size", into(l, &s.JournalSize, readJournalSize)},
		{"detect", into(l, &s.Detect, tomlfile.Bool)},
	}
}

func (l *loader) milterKeys(m *Milter) []key {
	duration := tomlfile.Text("30s", parseDuration)
	return []key{
		{"name", into(l, &m.Name, tomlfile.Text("opendkim", parseName))},
		{"use", into(l, &m.Use, tomlfile.Text("greylist", l.parseUse))},
		{"when", into(l, &m.When, func(v *tomlfile.Value) (string, error) {
			return l.readWhen(v, l.config.Before(len(l.config.Milters)))
		})},
		{"options", func(*tomlfile.Field) {}}, // read when the native child is known
		{"socket", into(l, &m.Socket, tomlfile.Text("unix:/run/opendkim/opendkim.sock", parseChildSocket))},
		{"connect_timeout", into(l, &m.ConnectTimeout, duration)},
		{"command_timeout", into(l, &m.CommandTimeout, duration)},
		{"content_timeout", into(l, &m.ContentTimeout, duration)},
		{"default_action", into(l, &m.DefaultAction, tomlfile.Text("tempfail", parseAction))},
		{"pipeline", into(l, &m.Pipeline, tomlfile.Bool)},
		{"together", into(l, &m.Together, tomlfile.Bool)},
		{"shadow", into(l, &m.Shadow, tomlfile.Bool)},
		{"shadow_share", into(l, &m.ShadowShare, readShare)},
		{"sendmail_macros", into(l, &m.SendmailMacros, tomlfile.Bool)},
		{"macros", l.macros(m)},
		{"enabled", into(l, &m.Enabled, tomlfile.Bool)},
	}
}

// load takes in the whole document.
func (l *loader) load(root *tomlfile.Value) {
	l.astray = slices.ContainsFunc(root.Fields, func(f *tomlfile.Field) bool { return nearestSection(f.Name) == "options" })
	for _, f := range root.Fields {
		switch {
		case f.Name == "server" && f.Val.Kind == tomlfile.IsTable:
			l.section("[server]", f.Val, l.serverKeys(&l.config.Server))
		case f.Name == "server" && f.Val.Kind == tomlfile.IsTables:
			l.report(f.At, "there is one server: write [server], not [[server]]")
		case f.Name == "server":
			l.report(f.At, "server is a section: write [server]")
		case f.Name == "milter" && f.Val.Kind == tomlfile.IsTables:
			for _, item := range f.Val.Items {
				l.milter(item)
			}
		case f.Name == "milter":
			l.report(f.At, "each milter is a section of its own that begins with [[milter]], in double brackets")
		default:
			l.report(f.At, l.unknownSection(f))
		}
	}
	l.checkMilters()
}

// unknownSection is the message for what stands at the top level and is
// neither server nor milter.
func (l *loader) unknownSection(f *tomlfile.Field) string {
	if f.Val.Kind != tomlfile.IsTable && f.Val.Kind != tomlfile.IsTables {
		if home := l.home(f.Name); home != "" {
			return fmt.Sprintf("%q belongs under %s", f.Name, home)
		}
		return fmt.Sprintf("unknown key %q%s", f.Name, nearest.DidYouMean(f.Name, append(l.names("[server]"), l.names("[[milter]]")...)))
	}
	switch nearestSection(f.Name) {
	case "options":
		return fmt.Sprintf("unknown section %q; did you mean [milter.options]?", f.Name)
	case "server":
		return fmt.Sprintf("unknown section %q; did you mean [server]?", f.Name)
	case "milter":
		return fmt.Sprintf("unknown section %q; did you mean [[milter]]?", f.Name)
	}
	return fmt.Sprintf("unknown section %q; there are [server] and [[milter]]", f.Name)
}

func nearestSection(name string) string {
	return nearest.To(name, []string{"server", "milter", "options"})
}

// names returns the keys of a section.
func (l *loader) names(section string) []string {
	keys := l.serverKeys(new(Server))
	if section == "[[milter]]" {
		keys = l.milterKeys(new(Milter))
	}
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].name
	}
	return names
}

// home returns the section that knows the key, or "".
func (l *loader) home(name string) string {
	if l.child != nil && l.child.Has(name) {
		return "[milter.options]"
	}
	for _, section := range []string{"[server]", "[[milter]]"} {
		if slices.Contains(l.names(section), name) {
			return section
		}
	}
	return ""
}

// section takes in the keys of one section.
func (l *loader) section(name string, t *tomlfile.Value, keys []key) {
	for _, f := range t.Fields {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == f.Name })
		if i >= 0 {
			keys[i].set(f)
			continue
		}
		if home := l.home(f.Name); home != "" {
			l.report(f.At, fmt.Sprintf("%q does not belong in %s, it belongs under %s", f.Name, name, home))
			continue
		}
		l.report(f.At, fmt.Sprintf("unknown key %q in %s%s", f.Name, name, nearest.DidYouMean(f.Name, l.names(name))))
	}
}

// milter takes in one [[milter]].
func (l *loader) milter(t *tomlfile.Value) {
	m := defaultMilter()
	m.From = l.origin(t.At)
	if use := t.Field("use"); use != nil && use.Val.Kind == tomlfile.IsString {
		l.child = l.natives[use.Val.Text]
	}
	defer func() { l.child = nil }()
	l.section("[[milter]]", t, l.milterKeys(&m))
	if t.Field("name") == nil {
		l.report(t.At, `this milter has no name; add name = "…"`)
	}
	socket, use := t.Field("socket"), t.Field("use")
	switch {
	case socket == nil && use == nil:
		l.report(t.At, `this milter has neither a socket nor use; add socket = "unix:/…" or "inet:PORT@HOST"`)
	case socket != nil && use != nil:
		l.report(use.At, fmt.Sprintf("use: a milter has either socket (line %d) or use, not both", socket.At.Line))
	}
	if use != nil && socket == nil {
		l.socketOnly(t)
	}
	if share := t.Field("shadow_share"); share != nil && !m.Shadow.V {
		l.report(share.At, "shadow_share is for a milter with shadow = true")
	}
	l.options(&m, t)
	l.config.Milters = append(l.config.Milters, m)
}

// socketOnly refuses the keys of a native child that only a milter on a socket has.
func (l *loader) socketOnly(t *tomlfile.Value) {
	for _, name := range []string{"connect_timeout", "pipeline", "sendmail_macros", "macros"} {
		f := t.Field(name)
		if f == nil {
			continue
		}
		message := name + " is for milters on a socket; this one runs in this process"
		if l.child != nil && l.child.Has(name) {
			message += ", and its own " + name + " belongs under [milter.options]"
		}
		l.report(f.At, message)
	}
}

// elsewhere reports whether options of a native child seem to stand in its
// milter, where they are not looked for.
func (l *loader) elsewhere(milter *tomlfile.Value) bool {
	keys := l.names("[[milter]]")
	return slices.ContainsFunc(milter.Fields, func(f *tomlfile.Field) bool {
		section := f.Val.Kind == tomlfile.IsTable || f.Val.Kind == tomlfile.IsTables
		return !slices.Contains(keys, f.Name) && (section || l.child.Has(f.Name))
	})
}

// options takes in the section [milter.options] of a milter. Where something is
// wrong with it that may be the reason for more, no more is told.
func (l *loader) options(m *Milter, milter *tomlfile.Value) {
	var t *tomlfile.Value
	before := len(l.errs)
	f := milter.Field("options")
	switch {
	case f == nil:
	case f.Val.Kind == tomlfile.IsTable:
		t = f.Val
	case f.Val.Kind == tomlfile.IsTables:
		l.report(f.At, "options: there is one section of them: write [milter.options], in single brackets")
	default:
		l.report(f.Val.At, fmt.Sprintf("options: this is %s; write a section of its own, [milter.options]", f.Val.Kind))
	}
	if l.child == nil {
		if t != nil && m.Use.V == "" && m.Socket.V != (Socket{}) {
			l.report(f.At, "options: they are for a native child, which has use instead of socket")
		}
		return
	}
	if t == nil && len(l.errs) > before {
		return
	}
	read := l.child.Read(t, l.home, l.report)
	if l.astray || l.elsewhere(milter) {
		return
	}
	for _, missing := range read.Missing() {
		at := missing.At
		if t == nil { // there is no section that it could stand in
			at = milter.Field("use").At
		}
		l.report(at, missing.Message)
	}
	if len(l.errs) > before {
		return
	}
	m.Options = read
	if err := read.Validate(); err != nil {
		l.errs = append(l.errs, l.config.ChildFault(m, err)...)
		m.Options = nil
	}
}

// checkMilters looks at the milters beside each other.
func (l *loader) checkMilters() {
	first := make(map[string]Origin)
	for i, m := range l.config.Milters {
		if other, taken := first[m.Name.V]; taken && m.Name.V != "" {
			l.fault(m.Name.From, fmt.Sprintf("name: another milter is called %q, in line %d", m.Name.V, other.Line))
		} else {
			first[m.Name.V] = m.Name.From
		}
		if i == 0 && m.Together.V {
			l.fault(m.Together.From, "together: there is no milter before the first one that it could run together with")
		}
		if m.Socket.V != (Socket{}) && slices.Contains(l.config.Server.Listen.V, m.Socket.V) {
			l.fault(m.Socket.From, fmt.Sprintf("socket: milterkit itself listens on %s: it would ask itself", m.Socket.V))
		}
	}
	server := &l.config.Server
	for _, s := range server.Status.V {
		if slices.Contains(server.Listen.V, s) {
			l.fault(server.Status.From, fmt.Sprintf("status: %s is in listen already", s))
		}
	}
}

func (l *loader) fault(o Origin, message string) {
	l.report(tomlfile.Place{Line: o.Line, Column: o.Column}, message)
}

func readMaxSessions(v *tomlfile.Value) (int, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 32)
	switch {
	case v.Kind != tomlfile.IsInteger:
		return 0, fmt.Errorf("this is %s; write a whole number, without quotes", v.Kind)
	case err != nil || n < 0:
		return 0, fmt.Errorf("%s is no number of sessions; write one such as 500, or 0 for no limit", v.Text)
	}
	return int(n), nil
}

// insteadOf are the native children that milterkit has, by what they take the place of.
var insteadOf = map[string][]string{
	"clamav":          {"clamd"},
	"clamav-milter":   {"clamd"},
	"dkim":            {"dkim-sign", "dkim-verify"},
	"dkimpy-milter":   {"dkim-sign", "dkim-verify"},
	"opendkim":        {"dkim-sign", "dkim-verify"},
	"opendmarc":       {"dmarc"},
	"milter-greylist": {"greylist"},
	"postgrey":        {"greylist"},
	"header_checks":   {"headers"},
	"rspamd_proxy":    {"rspamd"},
	"spamassassin":    {"spamd"},
	"spamass-milter":  {"spamd"},
	"pyspf-milter":    {"spf"},
}

func (l *loader) parseUse(name string) (string, error) {
	if l.natives[name] != nil {
		return name, nil
	}
	names := slices.Sorted(maps.Keys(l.natives))
	if own, ok := insteadOf[strings.ToLower(name)]; ok && l.natives[own[0]] != nil {
		return "", fmt.Errorf(`there is no native child %q; did you mean "%s"? (a milter that runs by itself has a socket instead)`, name, strings.Join(own, `" or "`))
	}
	switch near := nearest.DidYouMean(strings.ToLower(name), names); {
	case near != "":
		return "", fmt.Errorf("there is no native child %q%s", name, near)
	case len(names) == 0:
		return "", fmt.Errorf("there is no native child %q: this program has none; a milter that runs by itself has a socket instead", name)
	case len(names) == 1:
		return "", fmt.Errorf("there is no native child %q; there is %s", name, names[0])
	}
	return "", fmt.Errorf("there is no native child %q; there are %s", name, strings.Join(names, ", "))
}

func parseAction(word string) (milterkit.DefaultAction, error) {
	var words []string
	for a := milterkit.DefaultTempFail; a <= milterkit.DefaultQuarantine; a++ {
		if a.String() == word {
			return a, nil
		}
		words = append(words, a.String())
	}
	_, err := parseOneOf(words...)(word)
	return 0, err
}

func parseOneOf(words ...string) func(string) (string, error) {
	return func(word string) (string, error) {
		if slices.Contains(words, word) {
			return word, nil
		}
		if near := nearest.DidYouMean(word, words); near != "" {
			return "", fmt.Errorf("%q is unknown%s", word, near)
		}
		return "", fmt.Errorf("%q is unknown; there are %s", word, strings.Join(words, ", "))
	}
}

// parseName reads what a milter is called in logs.
func parseName(s string) (string, error) {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	}
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, odd) || strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("%q is not a name; it has letters, digits, dots and dashes, at most 64", s)
	}
	return s, nil
}

func parseUser(s string) (string, error) {
	if s == "" {
		return "", errors.New(`name a user, such as "milterkit"; "root" keeps the rights of root`)
	}
	return parseWord(s)
}

// parseWord reads the name of a user or a group.
func parseWord(s string) (string, error) {
	if strings.ContainsFunc(s, isControl) || strings.ContainsAny(s, " :,/") {
		return "", fmt.Errorf("%q is not a name of the system", s)
	}
	return s, nil
}

// parseJournal reads the path of a file, or "" for none.
func parseJournal(s string) (string, error) {
	if s != "" && (!filepath.IsAbs(s) || strings.HasSuffix(s, "/") || strings.ContainsFunc(s, isControl)) {
		return "", fmt.Errorf(`%q is not the path of a file; it begins with /, such as "/var/lib/milterkit/journal.db"`, s)
	}
	return s, nil
}

func parseDir(s string) (string, error) {
	if !filepath.IsAbs(s) || strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf(`%q is not the path of a directory; it begins with /, such as "/var/tmp"`, s)
	}
	return s, nil
}
