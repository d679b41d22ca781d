package config

// A Doc is what the reference of the configuration file says of one key.
type Doc struct {
	Key     string
	Default string // in words, where there is no value; else empty: it is taken from the code
	Meaning string // Markdown of one line; links are those of a page in docs
}

// serverDocs are the keys of [server], in the order of the reference. What stands
// here is written to docs/configuration.md by
//
//	go test ./daemon/internal/config -run Reference -update-reference
var serverDocs = []Doc{
	{Key: "listen", Meaning: "where MTAs connect; several at once. A smtpd in a chroot, as Debian and Ubuntu have it, wants one [below `/var/spool/postfix`](mail-servers.md#postfix). An `inet` one without a host is on 127.0.0.1."},
	{Key: "socket_mode", Meaning: "of unix sockets; they have it, and their group, before anybody can connect."},
	{Key: "socket_group", Meaning: "of unix sockets. Put there the group of the MTA: `\"postfix\"`, or it cannot connect."},
	{Key: "user", Meaning: "dropped to after the sockets are open, when started as root, with that user's groups and no others."},
	{Key: "max_sessions", Meaning: "SMTP sessions at one time; 0: as many as the descriptors allow (see [Limits](#limits))."},
	{Key: "max_memory", Meaning: "message bytes of all sessions together, as they come from the MTA. Beyond it bodies go to an unlinked file. No session waits for another's memory. What milters put in place of a body is held besides, 64 MiB a milter and message at most, and so are their other edits, 4 MiB at most."},
	{Key: "temp_dir", Meaning: "where that file is. Not a tmpfs: that is memory again. If it is full, the message at hand gets 452 4.3.1."},
	{Key: "max_header", Meaning: "of one message's whole header, each field counting 64 bytes besides its own; a longer one gets 552."},
	{Key: "stage_timeout", Meaning: "all milters together at connect, helo, mail, each rcpt, data. Keep it below what the MTA waits (Postfix: `milter_command_timeout`, 30 s). Behind Sendmail it is 8 s at most."},
	{Key: "message_timeout", Meaning: "all milters together on the content of a message. Keep it below what the MTA waits (Postfix: `milter_content_timeout`, 300 s)."},
	{Key: "shutdown_timeout", Meaning: "after SIGTERM idle sessions end at once, messages under way get this long. One that is cut short then is put off with 451 4.3.2."},
	{Key: "drain_timeout", Meaning: "after a reload or a restart, sessions under way go on as they began; those that last longer than this end as after SIGTERM."},
	{Key: "log", Meaning: "or `\"syslog\"` (mail.info). One line a message."},
	{Key: "log_format", Meaning: "or `\"json\"`: each line is an object, in which times that something took are numbers of seconds; see [What the log says](#what-the-log-says)."},
	{Key: "status", Default: "off", Meaning: "where the daemon tells over HTTP how it is: an address (`\"127.0.0.1:8891\"`), a socket (`\"unix:/run/milterkit/status.sock\"`), or a list of several, which all answer the same. `GET /healthz` (200: the process lives) and `GET /readyz` (200: it takes connections; 503: it is ending) say nothing of the milters; `GET /metrics` tells [Prometheus](metrics.md) of them, and `GET /` is the [status page](operating.md#looking-at-it). What changes something is taken over a unix socket only, from root and from milterkit's own user."},
	{Key: "journal", Default: "off", Meaning: "the file of the history of messages, of which [`milterkit trace`](operating.md#where-is-my-mail) tells: who sent what to whom, what each milter said, and what came of it; never a body. Its folder belongs to `user`, as `\"/var/lib/milterkit/journal.db\"` does. A change takes a restart."},
	{Key: "journal_size", Meaning: "what that file may take with all that belongs to it, `\"8MiB\"` at least; the oldest messages go first. A message takes about 1 KiB."},
	{Key: "detect", Meaning: "`true`: the milters that this machine has are added at start, behind those of the file ([detect](detect.md))."},
}

// milterDocs are those of [[milter]].
var milterDocs = []Doc{
	{Key: "name", Default: "required", Meaning: "stands in the log."},
	{Key: "socket", Default: "required, or `use`", Meaning: "of a milter that runs by itself."},
	{Key: "use", Default: "required, or `socket`", Meaning: "the name of a native child, which runs within milterkit: one [that it has](children/README.md), or one of [your own](your-own-milterkit.md)."},
	{Key: "options", Default: "those of the child", Meaning: "a section, `[milter.options]`, of what the child that `use` names can be told. It is the last of the milter's keys, since all that follows belongs to it."},
	{Key: "when", Default: "always", Meaning: "the condition under which it takes part, see [when](#when)."},
	{Key: "connect_timeout", Meaning: "to connect and negotiate; only for a milter on a socket."},
	{Key: "command_timeout", Meaning: "for one answer up to DATA."},
	{Key: "content_timeout", Meaning: "for one answer on the header, the body, the end of the message; a progress reply starts it anew."},
	{Key: "default_action", Meaning: "what becomes of a message when the milter is down, late, or talks nonsense: `tempfail`, `accept` (it is out of this message), `reject`, `discard`, `quarantine` (the message goes on and is held by the MTA; `tempfail` where the MTA cannot)."},
	{Key: "pipeline", Meaning: "the content of a message is sent without waiting for an answer to each field and piece of it, see [pipelining](pipelining.md). `false`: each answer is waited for, as mail servers do. Only for a milter on a socket."},
	{Key: "together", Meaning: "asked about the content at the same time as the milter before it; both see the same message. Not for one that needs what an earlier one added. Of milters a, b, c and d, where c and d say so, b, c and d are one group, which is asked after a."},
	{Key: "shadow", Meaning: "asked and logged, changes nothing: see [Shadows](#shadows)."},
	{Key: "shadow_share", Meaning: "the share of the sessions in which a shadow takes part, `0.1` for one in ten."},
	{Key: "sendmail_macros", Meaning: "told what Sendmail tells filters and Postfix does not: see [Macros of a milter's own](#macros-of-a-milters-own). Only for a milter on a socket."},
	{Key: "macros", Default: "none", Meaning: "a section, `[milter.macros]`, of macros that it is told besides the MTA's, or in their place: see [Macros of a milter's own](#macros-of-a-milters-own). Only for a milter on a socket."},
	{Key: "enabled", Meaning: "`false`: it keeps its place in the file, and is not asked."},
}
