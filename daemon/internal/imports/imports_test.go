package imports

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/internal/tomlfile"
)

var update = flag.Bool("update", false, "write the golden files anew")

// cases are the folders of testdata: files to import, in the order of their names, the
// files that those name below root, and what comes of it.
func cases(t testing.TB) []string {
	t.Helper()
	folders, err := filepath.Glob("testdata/*/want.toml")
	if *update {
		folders, err = filepath.Glob("testdata/*/*")
	}
	if err != nil || len(folders) == 0 {
		t.Fatal(folders, err)
	}
	var list []string
	for _, f := range folders {
		list = append(list, filepath.Dir(f))
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(f string) bool { return filepath.Base(f) == "fuzz" || filepath.Dir(f) != "testdata" })
}

// filesOf are the files of a case, called by their names alone.
func filesOf(t testing.TB, folder string) []File {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), "want.") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimLeft(e.Name(), "0123456789-")
		kind := KindOf(name, string(data))
		if kind == "" {
			t.Errorf("%s: what is %s?", folder, e.Name())
		}
		files = append(files, File{Name: name, Kind: kind, Text: string(data)})
	}
	return files
}

// below are options that look for files below a folder.
func below(folder string) Options {
	return Options{
		Remote:   strings.HasSuffix(folder, "-remote"),
		ReadFile: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(folder, "root", path)) },
		Exists: func(path string) bool {
			_, err := os.Stat(filepath.Join(folder, "root", path))
			return err == nil
		},
	}
}

func lines(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// What comes of each kind of settings, and what is said of it, is as it was looked at.
func TestImport(t *testing.T) {
	for _, folder := range cases(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			got := Import(filesOf(t, folder), below(folder))
			for name, text := range map[string]string{"want.toml": string(got.Text), "want.txt": lines(got.Findings)} {
				file := filepath.Join(folder, name)
				if *update {
					if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil || string(want) != text {
					t.Errorf("%s: %v\ngot\n%s\nwant\n%s", file, err, text, want)
				}
			}
		})
	}
}

// A file is known by its name, and without one by what stands in it.
func TestKindOf(t *testing.T) {
	for _, folder := range cases(t) {
		for _, f := range filesOf(t, folder) {
			if strings.Contains(folder, "broken") { // they have little in them
				continue
			}
			if got := KindOf("-", f.Text); got != f.Kind {
				t.Errorf("%s: %s without its name is %q", folder, f.Name, got)
			}
		}
	}
	if k := KindOf("/etc/passwd", "root:x:0:0\n"); k != "" {
		t.Errorf("/etc/passwd is %q", k)
	}
}

// What Check has against the configuration is commented out and told, and the rest stays.
func TestWhatIsWrongIsCommentedOut(t *testing.T) {
	o := Options{Check: func(text []byte) []Fault {
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "text") || strings.HasPrefix(line, "use ") && strings.Contains(line, "spamd") {
				return []Fault{{i + 1, "will not do"}}
			}
		}
		return nil
	}}
	got := Import([]File{
		{"clamav-milter.conf", ClamAV, "RejectMsg no\nOnInfected Reject\n"},
		{"spamass-milter", SpamAss, "OPTIONS=\"-m\"\n"},
	}, o)
	text := string(got.Text)
	for _, want := range []string{"# will not do\n# text ", "\ninfected = \"reject\"\n", "\n# [[milter]]\n", "\n# use "} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	if len(got.Findings) != 2 {
		t.Errorf("findings: %v", got.Findings)
	}
	if n := strings.Count(text, "\n[[milter]]"); n != 1 {
		t.Errorf("%d milters in\n%s", n, text)
	}
}

// What a milter is asked about is what the rules of greylist.conf put off: the first
// that fits decides.
func TestGreylistRules(t *testing.T) {
	for _, c := range []struct{ rules, when, options string }{
		{"", "", ""},
		{"racl greylist default", "", ""},
		{"racl whitelist default", "", "enabled"},
		{"racl whitelist addr 192.0.2.1\nracl greylist default", "", `allow          = ["192.0.2.1/32"]`},
		{`racl whitelist domain example.org`, "when           = '!(client.name matches `(?i)example\\.org$`)'", ""},
		{`racl "name" greylist rcpt a@b.example delay 5m` + "\nracl whitelist default", "when           = 'rcpt_to matches `(?i)^a@b\\.example$`'", `delay        = "5m"`},
		{`racl greylist not addr 192.0.2.0/24` + "\nracl whitelist default", `when           = '!cidr(client.addr, "192.0.2.0/24")'`, ""},
		{"racl whitelist from a@b.example rcpt /^c@/\nracl greylist helo x\nracl whitelist default",
			"when           = '!(mail_from matches `(?i)^a@b\\.example$` && rcpt_to matches \"(?i)^c@\") && helo matches \"(?i)x\"'", ""},
	} {
		got := Import([]File{{"greylist.conf", Greylist, c.rules + "\n"}}, Options{})
		text := string(got.Text)
		if !strings.Contains(text, c.when) || !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(c.options), " ")) || c.when == "" && strings.Contains(text, "when ") {
			t.Errorf("%s\n%v\n%s", c.rules, got.Findings, text)
		}
	}
}

// SPF lets mail of trusted domains pass, and no other.
func TestGreylistTrustsBySPF(t *testing.T) {
	macro := "sm_macro \"t\" \"{trusted_domain}\" \"yes\"\n"
	for rules, want := range map[string]struct {
		trusted  bool
		findings int
	}{
		macro + "racl whitelist sm_macro \"t\" spf pass\nracl greylist sm_macro \"t\" not spf pass\nracl greylist default\n": {true, 0},
		"racl whitelist spf pass\nracl greylist default\n":                                                                   {false, 1},
		macro + "racl whitelist sm_macro \"t\"\n":                                                                            {false, 1},
		"sm_macro \"s\" \"{stress}\" \"yes\"\nracl whitelist sm_macro \"s\"\n":                                               {false, 0},
	} {
		got := Import([]File{{"greylist.conf", Greylist, rules}}, Options{})
		if strings.Contains(string(got.Text), "gmail.com") != want.trusted || len(got.Findings) != want.findings {
			t.Errorf("%s\n%v\n%s", rules, got.Findings, got.Text)
		}
	}
}

// The milters of milter-manager stand where main.cf has milter-manager, be its socket
// seen from a chroot or not; and what each says of itself is heeded.
func TestMainCFWithManager(t *testing.T) {
	manager := "manager.connection_spec = \"unix:/var/spool/postfix/milter-manager/milter-manager.sock\"\n" +
		"define_milter(\"clamav-milter\") do |milter|\n  milter.connection_spec = \"unix:/run/c.sock\"\n  milter.enabled = false\nend\n" +
		"define_milter(\"other\") do |milter|\n  milter.connection_spec = \"inet:9@localhost\"\n  milter.evaluation_mode = true\nend\n"
	got := Import([]File{
		{"main.cf", MainCF, "smtpd_milters = inet:1@localhost unix:milter-manager/milter-manager.sock inet:2@localhost\n"},
		{"m", MilterManager, manager},
		{"clamav-milter.conf", ClamAV, "OnInfected Reject\n"},
	}, Options{})
	at := -1
	for _, want := range []string{"stays as the only one", "listen      =", "inet:1@", `use            = "clamd"`, "enabled        = false", "inet:9@", "shadow         = true", "inet:2@"} {
		i := strings.Index(string(got.Text), want)
		if i <= at && want != "listen      =" {
			t.Errorf("%q stands at %d in\n%s", want, i, got.Text)
		}
		at = max(at, i)
	}
	alone := Import([]File{{"main.cf", MainCF, "smtpd_milters = unix:milter-manager/milter-manager.sock\n"}}, Options{})
	if !strings.Contains(string(alone.Text), "# this is milter-manager") {
		t.Errorf("got\n%s", alone.Text)
	}
}

// What milter-manager has been told beside its own rules is heeded.
func TestManagersOwnRules(t *testing.T) {
	local := "s25r.add_whitelist(/\\.example\\.com\\z/)\ntrust.clear\ntrust.add_envelope_from_domain(\"example.org\")\nstress.threshold_n_connections = 40\n" +
		"define_milter(\"milter-greylist\") do |milter|\n  milter.connection_spec = \"unix:/run/g.sock\"\n" +
		"  milter.add_applicable_condition(\"S25R\")\n  milter.add_applicable_condition(\"No Stress\")\nend\n"
	acl := "sm_macro \"t\" \"{trusted_domain}\" \"yes\"\nracl whitelist sm_macro \"t\" spf pass\nracl greylist default\n"
	// What --show-config prints does not have the former, but has the order.
	shown := "define_milter(\"milter-greylist\") do |milter|\n  milter.connection_spec = \"unix:/run/g.sock\"\n" +
		"  milter.applicable_conditions = [\n    \"S25R\",\n    \"No Stress\",\n  ]\nend\ndefine_milter(\"last\") do |milter|\n  milter.connection_spec = \"unix:/run/l.sock\"\nend\n"
	got := Import([]File{{"shown", MilterManager, shown}, {"local", MilterManager, local}, {"greylist.conf", Greylist, acl}}, Options{})
	if strings.Index(string(got.Text), `"last"`) < strings.Index(string(got.Text), `"greylist"`) || strings.Count(string(got.Text), "[[milter]]") != 2 {
		t.Errorf("got\n%s", got.Text)
	}
	for _, want := range []string{"when           = 's25r && !(client.name matches `(?i)\\.example\\.com$`) && !(sessions >= 40)'\n", "trusted      = [\"example.org\"]\n"} {
		if !strings.Contains(string(got.Text), want) {
			t.Errorf("no %q in\n%s", want, got.Text)
		}
	}
	if len(got.Findings) > 0 {
		t.Error(got.Findings)
	}
	trusting := strings.Replace(local, "  milter.add_", "  milter.add_applicable_condition(\"Trust\")\n  milter.add_", 1)
	got = Import([]File{{"local", MilterManager, trusting}}, Options{Remote: true})
	if want := `"{trusted_domain}" = { value = "yes", when = 'mail_from.domain in ["example.org"]' }`; !strings.Contains(string(got.Text), want) {
		t.Errorf("no %q in\n%s", want, got.Text)
	}
}

// Conditions that are too long for a when are told, and the milter is asked about all
// mail; one that is never asked is not enabled.
func TestConditionsThatCannotBeWritten(t *testing.T) {
	long := Import([]File{{"c", ClamAV, strings.Repeat("SkipAuthenticated ^someone.with.a.long.name@example.org$\nLocalNet 192.0.2.1\n", 2000)}}, Options{})
	if len(long.Findings) != 1 || !strings.Contains(long.Findings[0].Why, "too long") || strings.Contains(string(long.Text), "\nwhen") {
		t.Errorf("%v\n%.500s", long.Findings, long.Text)
	}
	never := Import([]File{{"g", Greylist, "racl whitelist default\n"}}, Options{})
	if !strings.Contains(string(never.Text), "enabled        = false\n") {
		t.Errorf("got\n%s", never.Text)
	}
}

// A file that is too big is told, and not read.
func TestHugeFiles(t *testing.T) {
	got := Import([]File{{"x", Greylist, strings.Repeat("racl greylist default\n", MaxSize/20)}}, Options{})
	if len(got.Findings) != 1 || !strings.Contains(got.Findings[0].String(), "x:1: ") {
		t.Errorf("findings: %v", got.Findings)
	}
}

// What changes how mail is handled, and is not taken, is told: a file that would have
// to be read, and whether mail is held.
func TestWhatIsLeftOutIsTold(t *testing.T) {
	for _, f := range []File{
		{"f", OpenDKIM, "Include /etc/opendkim.d/keys.conf\n"},
		{"f", OpenDKIM, "Quarantine yes\n"},
		{"f", OpenDKIM, "RemoveARAll yes\n"},
		{"f", OpenDMARC, "Include /etc/opendmarc.d/x.conf\n"},
	} {
		if got := Import([]File{f}, Options{}); len(got.Findings) != 1 || !strings.Contains(got.Findings[0].String(), strings.TrimSpace(f.Text)) {
			t.Errorf("%s: %v", f.Text, got.Findings)
		}
	}
}

// A network within another of a list is left out of it, and of equal ones all but one.
func TestNarrowed(t *testing.T) {
	var all []netip.Prefix
	for _, s := range []string{"192.0.2.7/32", "192.0.2.0/24", "::1/128", "192.0.2.0/24", "192.0.0.0/16", "2001:db8::/32", "2001:db8:1::/48", "198.51.100.1/32"} {
		all = append(all, netip.MustParsePrefix(s))
	}
	if got := strings.Join(texts(narrowed(all)), " "); got != "::1/128 192.0.0.0/16 2001:db8::/32 198.51.100.1/32" {
		t.Error(got)
	}
	many := make([]netip.Prefix, 0, 1<<16)
	for i := range 1 << 16 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	begun := time.Now()
	if got := narrowed(many); len(got) != len(many) || time.Since(begun) > 10*time.Second {
		t.Errorf("%d of %d, in %v", len(got), len(many), time.Since(begun))
	}
}

// Settings that grow by what they name, or by their number, take no time.
func TestHostileSettingsTakeNoTime(t *testing.T) {
	many := func(line string) string { return strings.Repeat(line+"\n", MaxSize/(len(line)+1)-1) }
	doubling := "smtpd_milters = $a0\n"
	shell := "A0=xxxxxxxx\n"
	for i := range 60 {
		n, next := number(i), number(i+1)
		doubling += "a" + n + " = $a" + next + " $a" + next + "\n"
		shell += "A" + next + "=\"$A" + n + " $A" + n + "\"\n"
	}
	for name, f := range map[string]File{
		"rules":     {"f", Greylist, many("racl whitelist from a@b\nracl greylist rcpt c@d")},
		"list":      {"f", Greylist, "list \"x\" addr {" + strings.ReplaceAll(many("192.0.2.1 ::1"), "\n", " ") + "}\nracl whitelist list \"x\"\n"},
		"main.cf":   {"f", MainCF, doubling},
		"shell":     {"f", SpamAss, shell + "OPTIONS=\"$A60\"\n"},
		"flags":     {"f", SpamAss, "spamass-milter " + strings.Repeat("-i 192.0.2.1 ", 50000)},
		"lists":     {"f", MilterManager, "a = " + strings.Repeat("[", 500000)},
		"milters":   {"f", MilterManager, many("define_milter(\"a\") do |m|\nm.connection_spec = \"inet:1@localhost\"\nend")},
		"condition": {"f", MilterManager, "define_milter(\"a\") do |m|\nm.connection_spec = \"inet:1@localhost\"\n" + many(`m.add_applicable_condition("S25R")`)},
		"localnet":  {"f", ClamAV, many("LocalNet 192.0.2.1")},
		"peers":     {"f", OpenDKIM, many("PeerList 192.0.2.1")},
		"brackets":  {"f", Greylist, strings.Repeat("{", MaxSize-1)},
		"sockets":   {"f", MainCF, "smtpd_milters = " + strings.Repeat("inet:1@a ", 100000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			if f.Text = f.Text[:min(len(f.Text), MaxSize)]; len(Import([]File{f}, Options{}).Text) > 300<<20 {
				t.Error("the configuration is huge")
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// No input crashes or hangs a reader, and what is written can be read.
func FuzzImport(f *testing.F) {
	for _, folder := range cases(f) {
		for _, file := range filesOf(f, folder) {
			f.Add(uint8(slices.Index(Kinds, file.Kind)), file.Text, false)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, input string, remote bool) {
		k := Kinds[int(kind)%len(Kinds)]
		o := Options{Remote: remote, ReadFile: func(string) ([]byte, error) { return nil, errors.New("none") }}
		got := Import([]File{{"f", k, input}}, o)
		tomlfile.Parse(got.Text, func(at tomlfile.Place, message string) {
			t.Errorf("%v: %s in\n%s", at, message, got.Text)
		})
		for _, finding := range got.Findings {
			if s := finding.String(); strings.ContainsAny(s, "\n\r\x1b") || finding.Line < 1 {
				t.Errorf("finding %q", s)
			}
		}
	})
}

// What docs/import.md says of milter-greylist's rules is so.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## milter-greylist's rules")
	rules, want, found := strings.Cut(section, "```toml\n")
	want, _, _ = strings.Cut(want, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	var conf strings.Builder
	for line := range strings.Lines(rules) {
		if strings.HasPrefix(line, "    ") {
			conf.WriteString(line[4:])
		}
	}
	got := string(Import([]File{{"greylist.conf", Greylist, conf.String()}}, Options{}).Text)
	for line := range strings.Lines(want) {
		if line = strings.Join(strings.Fields(line), " "); !strings.Contains(strings.Join(strings.Fields(got), " "), line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}
