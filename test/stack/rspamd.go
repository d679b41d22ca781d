package stack

import (
	"cmp"
	"errors"
	"fmt"
)

// Rspamd is rspamd as a milter, in one process that speaks the protocol and scans
// as well, and beside that one that scans for others, with the same configuration. It
// refuses GTUBE. To any other message it adds the list of all that it has found, with
// the score of each, and Authentication-Results.
type Rspamd struct {
	Root *Root
	DNS  *Unbound

	// Name tells several in one root apart; "": rspamd.
	Name string

	daemon
}

// Socket is where the milter listens, as main.cf has it.
func (s *Rspamd) Socket() string { return "unix:" + s.Root.Path(s.folder(), "sock") }

// Worker is the path of the unix socket at which it scans without being a milter.
func (s *Rspamd) Worker() string { return s.Root.Path(s.folder(), "http") }

func (s *Rspamd) folder() string { return cmp.Or(s.Name, "rspamd") }

// rspamdConfig is its whole configuration: Debian's rules and scores, and of the
// modules those that need nothing but the message and a name server.
//
// The patterns are not compiled for Hyperscan, and the list of top level domains
// is short: the first start would take 20 s. What is found in a message does not
// depend on those before, as it would with a cache of SPF records.
const rspamdConfig = `lua = "$RULESDIR/rspamd.lua";
modules { path = "$PLUGINSDIR"; }
.include "$CONFDIR/metrics.conf"
.include "$CONFDIR/actions.conf"
.include "$CONFDIR/groups.conf"
milter_headers {
  use = ["x-spamd-result", "authentication-results"];
  skip_local = false;
  routines { x-spamd-result { sort_by = "name"; } }
}
spf { spf_cache_size = 0; }
dkim { check_local = true; }
options {
  filters = "dkim,regexp,chartable";
  url_tld = "%[1]s/tld";
  tempdir = "%[1]s";
  control_socket = "%[1]s/control mode=0600";
  local_addrs = [];
  disable_hyperscan = true;
  dns { nameserver = ["%[2]s"]; }
}
logging { type = "console"; level = "notice"; color = false; }
worker "rspamd_proxy" {
  bind_socket = "%[1]s/sock mode=0666";
  milter = yes;
  upstream "local" { default = yes; self_scan = yes; }
  count = 1;
}
worker "normal" {
  bind_socket = "%[1]s/http mode=0666";
  count = 1;
}
`

// rspamdRule finds in every message how rspamd was told of it: who has sent it, to
// how many, and a checksum of all their addresses and the whole message, in which
// a milter before may have put the queue id.
const rspamdRule = `local hash = require "rspamd_cryptobox_hash"
rspamd_config:register_symbol {
  name = "TOLD", score = 0.0,
  callback = function(task)
    local sum = hash.create()
    local rcpts = task:get_recipients("smtp") or {}
    for _, rcpt in ipairs(rcpts) do sum:update(rcpt.addr .. "\\n") end
    sum:update((tostring(task:get_content()):gsub(task:get_queue_id(), "QUEUE-ID")))
    return true, 1.0, task:get_hostname() or "", tostring(task:get_ip()), task:get_helo() or "",
      task:get_from("smtp")[1].addr, tostring(#rcpts), sum:hex():sub(1, 32)
  end
}
`

// Start implements [Component].
func (s *Rspamd) Start() error {
	r := s.Root
	dir, err := r.mkdir(s.folder())
	if err != nil {
		return err
	}
	conf := r.Path(s.folder(), "rspamd.conf")
	if err := errors.Join(r.write(r.Path(s.folder(), "tld"), "net\norg\ntest\n"), r.write(r.Path(s.folder(), "rspamd.local.lua"), rspamdRule),
		r.write(conf, fmt.Sprintf(rspamdConfig, dir, s.DNS.Addr()))); err != nil {
		return err
	}
	s.grace = stopLimit
	argv := []string{"rspamd", "-f", "-c", conf}
	for _, name := range []string{"DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR"} {
		argv = append(argv, "--var="+name+"="+dir)
	}
	if err := s.launch(r, s.folder(), dir, r.nobody(), nil, argv...); err != nil {
		return err
	}
	return errors.Join(s.listens(r.Path(s.folder(), "sock")), s.listens(s.Worker()))
}
