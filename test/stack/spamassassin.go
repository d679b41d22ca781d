package stack

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
)

// GTUBE is the line that SpamAssassin takes for spam, with a score of 1000.
const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// SpamSubject is a subject that SpamAssassin takes for spam, with a score of 7: not
// enough to be refused.
const SpamSubject = "the winning numbers"

// spamcMaxSize is the size in bytes up to which spamc hands a message to
// spamd; it is spamc's own default, written down. A bigger message passes
// through spamass-milter whole, all the same, and comes out as it was,
// without X-Spam fields: spamc gives it back unread. To have spamd read 20 MB
// would cost minutes of processor time and prove nothing.
const spamcMaxSize = 500 << 10

// Spamd is SpamAssassin's daemon, with Debian's rules, without network tests,
// without learning. It takes about 2 s to start, and 0.3 s for a message.
type Spamd struct {
	Root *Root

	// Name tells several in one root apart; "": spamd.
	Name string

	daemon
}

// Addr is the path of the unix socket at which spamd takes commands.
func (s *Spamd) Addr() string { return s.Root.Path(s.folder(), "sock") }

func (s *Spamd) folder() string { return cmp.Or(s.Name, "spamd") }

// Start implements [Component].
func (s *Spamd) Start() error {
	r := s.Root
	dir, err := r.mkdir(s.folder())
	if err != nil {
		return err
	}
	site, err := r.mkdir(s.folder(), "site")
	if err != nil {
		return err
	}
	// These say which plugins are loaded.
	pres, err := filepath.Glob("/etc/spamassassin/*.pre")
	if err != nil {
		return err
	}
	for _, pre := range pres {
		b, err := os.ReadFile(pre)
		if err != nil {
			return err
		}
		if err := r.write(filepath.Join(site, filepath.Base(pre)), string(b)); err != nil {
			return err
		}
	}
	// The order of the lines of X-Spam-Report is another each time.
	config := "use_bayes 0\ndns_available no\nrequired_score 5.0\nreport_safe 0\nremove_header all Report\n" +
		"header MILTERKIT_SPAM Subject =~ /^" + SpamSubject + "/\nscore MILTERKIT_SPAM 7.0\n"
	if err := r.write(filepath.Join(site, "local.cf"), config); err != nil {
		return err
	}
	pid := r.Path(s.folder(), "pid")
	s.grace = stopLimitLibmilter // nothing to put in order
	err = s.launch(r, s.folder(), dir, r.nobody(), nil, "spamd",
		"--local", "--nouser-config", "--username=nobody",
		"--helper-home-dir="+dir, "--siteconfigpath="+site, "--configpath=/usr/share/spamassassin",
		"--min-children=2", "--max-children=4", "--min-spare=1", "--max-spare=2",
		"--socketpath="+s.Addr(), "--socketmode=0666", "--pidfile="+pid, "--syslog=stderr")
	if err != nil {
		return err
	}
	// The socket is there before the rules are loaded; the pid file comes last.
	return s.ready("pid file", func() bool {
		b, err := os.ReadFile(pid)
		return err == nil && len(b) > 0
	})
}

// SpamassMilter is the milter for SpamAssassin. It refuses a message with a
// score of 15 or more, and adds X-Spam-Status and other fields to any other
// of up to 500 KB; a bigger one it lets through as it is.
type SpamassMilter struct {
	Root  *Root
	Spamd *Spamd

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (s *SpamassMilter) Socket() string { return "unix:" + s.Root.Path("spamass-milter", "sock") }

// Start implements [Component].
func (s *SpamassMilter) Start() error {
	r := s.Root
	dir, err := r.mkdir("spamass-milter")
	if err != nil {
		return err
	}
	if _, err := program("spamc"); err != nil {
		return err
	}
	s.grace = stopLimitLibmilter
	err = s.launch(r, "spamass-milter", dir, r.nobody(), nil, "spamass-milter",
		"-p", s.Socket(), "-r", "15", "-u", "nobody",
		"--", "-U", s.Spamd.Addr(), "-s", strconv.Itoa(spamcMaxSize))
	if err != nil {
		return err
	}
	return s.listens(r.Path("spamass-milter", "sock"))
}
