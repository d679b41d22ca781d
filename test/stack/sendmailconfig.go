package stack

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

// sendmailHost is what Sendmail calls itself.
const sendmailHost = "sm.example.test"

// writeConfig has m4 make a process's sendmail.cf of its macro file.
func (d *sendmailDaemon) writeConfig(cf string) error {
	m4, err := program("m4")
	if err != nil {
		return err
	}
	lib := sendmailTree + "/usr/share/sendmail/cf/"
	cmd := exec.Command(m4, "-D_CF_DIR_="+lib, lib+"m4/cf.m4", "-")
	cmd.Stdin = strings.NewReader(d.macros())
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		return fmt.Errorf("%v: %v\n%s", cmd.Args, err, &complaints)
	}
	return os.WriteFile(cf, text, 0o644)
}

// macros is the macro file of a process. What it does not set is as Sendmail
// has it by default, above all the times that it gives to milters.
func (d *sendmailDaemon) macros() string {
	s := d.mta
	var b strings.Builder
	say := func(macro string, args ...string) {
		for i, arg := range args {
			args[i] = "`" + arg + "'"
		}
		fmt.Fprintf(&b, "%s(%s)dnl\n", macro, strings.Join(args, ", "))
	}
	b.WriteString("divert(0)dnl\n")
	say("VERSIONID", "end-to-end tests")
	say("OSTYPE", "linux")
	for _, o := range [][2]string{
		{"confDOMAIN_NAME", sendmailHost},
		{"confPID_FILE", s.path(d.name, "pid")},
		{"STATUS_FILE", s.path(d.name, "statistics")},
		{"QUEUE_DIR", s.path("queue")},
		{"ALIAS_FILE", ""},
		{"confSERVICE_SWITCH_FILE", s.path("service.switch")},
		{"confHOSTS_FILE", s.path("hosts")},
		{"confRUN_AS_USER", fmt.Sprintf("%d:%d", s.Root.uid, s.Root.gid)},
		{"confTRUSTED_USER", "nobody"},
		{"confDEF_USER_ID", fmt.Sprintf("%d:%d", s.Root.uid, s.Root.gid)},
		// The milters' sockets are below a folder that all may write to.
		{"confDONT_BLAME_SENDMAIL", "TrustStickyBit,NonRootSafeAddr"},
		// No field in the header that says where the configuration is.
		{"confPRIVACY_FLAGS", "public"},
		{"confTO_IDENT", "0"},
		{"confSMTP_LOGIN_MSG", "$j"}, // without the date
		// However busy the machine is.
		{"confQUEUE_LA", "1000"}, {"confREFUSE_LA", "1000"}, {"confDELAY_LA", "0"},
		{"SMART_HOST", "relay:[127.0.0.1]"},
		{"RELAY_MAILER_ARGS", fmt.Sprintf("TCP [127.0.0.1] %d", s.sink.port())},
	} {
		say("define", o[0], o[1])
	}
	for _, feature := range []string{"nocanonify", "accept_unresolvable_domains", "accept_unqualified_senders", "no_default_msa"} {
		say("FEATURE", feature)
	}
	say("RELAY_DOMAIN", "127") // the loopback addresses
	said := make(map[string]bool)
	for _, l := range d.listeners {
		var names []string
		for _, socket := range l.Milters {
			name := s.filterName(socket)
			if !said[name] {
				say("MAIL_FILTER", name, "S="+socket+", F=T")
				said[name] = true
			}
			names = append(names, name)
		}
		host, port, _ := net.SplitHostPort(s.Addr(l.Name))
		family := "inet"
		if strings.Contains(host, ":") {
			family = "inet6"
		}
		// All have one name, which milters are told.
		say("DAEMON_OPTIONS", "Name=MTA, Family="+family+", Addr="+host+", Listen=100, Port="+port+", InputMailFilters="+strings.Join(names, ";"))
	}
	say("MAILER", "smtp")
	b.WriteString(unknownUsers)
	return b.String()
}

// filterName is what a milter is called in the log, by its socket below the root.
func (s *Sendmail) filterName(socket string) string {
	path := strings.TrimPrefix(socket, "unix:"+s.Root.Dir+"/")
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(path, "/sock"), ".sock"), "/", "-")
}

// unknownUsers is the ruleset that refuses recipients. Its columns are apart by
// tabs.
const unknownUsers = `LOCAL_CONFIG
Kunknown regex -a@UNKNOWN ^<(unknown|nobody)
LOCAL_RULESETS
SLocal_check_rcpt
R$*	$: $(unknown $1 $)
R$*@UNKNOWN	$#error $@ 5.1.1 $: "550 User unknown"
`
