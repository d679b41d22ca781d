package stack

import (
	"fmt"
	"slices"
	"strings"
)

// settings is main.cf, but for the paths below the root.
const settings = `compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydomain = example.test
myorigin = example.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
biff = no
disable_dns_lookups = yes
smtp_host_lookup = native
enable_long_queue_ids = yes
message_size_limit = 62914560
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.test
virtual_minimum_uid = 1
default_transport = discard
relay_transport = discard
local_header_rewrite_clients =
smtpd_reject_unlisted_recipient = yes
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_error_sleep_time = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 10000
in_flow_delay = 0
queue_run_delay = 5s
minimal_backoff_time = 5s
maximal_backoff_time = 10s
bounce_queue_lifetime = 0
maximal_queue_lifetime = 0
milter_protocol = 6
milter_default_action = tempfail
smtpd_milters =
non_smtpd_milters =
`

// services is master.cf without its smtpd listeners and cleanup. No service has
// a chroot, in which the milters' sockets would not be found.
const services = `pickup     unix  n - n 60    1   pickup
qmgr       unix  n - n 300   1   qmgr
tlsmgr     unix  - - n 1000? 1   tlsmgr
rewrite    unix  - - n -     -   trivial-rewrite
bounce     unix  - - n -     0   bounce
defer      unix  - - n -     0   bounce
trace      unix  - - n -     0   bounce
verify     unix  - - n -     1   verify
flush      unix  n - n 1000? 0   flush
proxymap   unix  - - n -     -   proxymap
proxywrite unix  - - n -     1   proxymap
showq      unix  n - n -     -   showq
error      unix  - - n -     -   error
retry      unix  - - n -     -   error
discard    unix  - - n -     -   discard
smtp       unix  - - n -     -   smtp
virtual    unix  - n n -     -   virtual
anvil      unix  - - n -     1   anvil
postlog    unix-dgram n - n - 1  postlogd
`

// maincf is the whole main.cf.
func (p *Postfix) maincf() string {
	r := p.Root
	return settings + fmt.Sprintf(`config_directory = %s
queue_directory = %s
data_directory = %s
maillog_file = %s
maillog_file_prefixes = %s
virtual_mailbox_base = %s
virtual_mailbox_maps = texthash:%s
virtual_uid_maps = static:%d
virtual_gid_maps = static:%d
%s
`, r.Path("postfix", "etc"), r.Path("postfix", "queue"), r.Path("postfix", "data"),
		p.maillog(), r.Dir, r.Path("postfix", "mail"),
		r.Path("postfix", "etc", "mailboxes"), r.uid, r.gid,
		strings.Join(p.Settings, "\n"))
}

// mastercf is the whole master.cf.
func (p *Postfix) mastercf() string {
	var b strings.Builder
	for _, l := range append(slices.Clone(p.Listeners), Listener{Name: readyListener}) {
		settings := l.Settings
		if len(l.Milters) > 0 {
			settings = append(slices.Clone(settings), "smtpd_milters = "+strings.Join(l.Milters, ", "))
		}
		fmt.Fprintf(&b, "%s inet n - n - - smtpd\n%s", p.addrs[l.Name], options(settings))
	}
	fmt.Fprintf(&b, "cleanup unix n - n - 0 cleanup\n%s", options(p.Cleanup))
	return b.String() + services
}

// options are settings for the service above them.
func options(settings []string) string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "  -o { %s }\n", s)
	}
	return b.String()
}

// mailboxes is the table of those who get mail. All of them share one
// maildir, where Delivered-To tells whose a message is.
func (p *Postfix) mailboxes() string {
	var b strings.Builder
	for _, m := range p.Mailboxes {
		fmt.Fprintf(&b, "%s@example.test all/\n", m)
	}
	return b.String()
}
