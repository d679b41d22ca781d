#!/bin/sh
# detect.sh MILTERKIT FOLDER: starts the filters of the Debian packages as their units
# and init scripts do, each with its own configuration, has milterkit detect write a
# configuration, and runs milterkit with it. It is to be run as root in name spaces of
# its own (mount, net, pid), so that nothing of it is left when it ends.
#
# What comes of it is in FOLDER: table, config, written, and one .json for each message.
set -eu
milterkit=$1
dir=$2

# until_so COMMAND...: waits until it holds, a minute at most.
until_so() {
	n=0
	until "$@"; do
		n=$((n + 1))
		[ "$n" -lt 300 ] || { echo "this did not come true: $*" >&2; exit 1; }
		sleep 0.2
	done
}

mount --make-rprivate /
for d in /run /var/log /var/spool/postfix; do
	mount -t tmpfs -o mode=755 none "$d"
done
mkdir "$dir/lib" && mount -t tmpfs -o mode=755 none "$dir/lib" && mkdir "$dir/lib/new" "$dir/lib/work"
mount -t overlay -o "lowerdir=/var/lib,upperdir=$dir/lib/new,workdir=$dir/lib/work" none /var/lib
ip link set lo up

# The user that a package of milterkit makes.
cp /etc/passwd /etc/group "$dir"
echo "milterkit:x:64890:64890::/nonexistent:/usr/sbin/nologin" >>"$dir/passwd"
echo "milterkit:x:64890:" >>"$dir/group"
mount --bind "$dir/passwd" /etc/passwd
mount --bind "$dir/group" /etc/group

# No name exists, and that is known at once.
echo "nameserver 127.0.0.53" >"$dir/resolv.conf"
mount --bind "$dir/resolv.conf" /etc/resolv.conf
cat >"$dir/unbound.conf" <<END
server:
  directory: "$dir"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.53
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  local-zone: "." static
END
unbound -d -c "$dir/unbound.conf" >"$dir/unbound.log" 2>&1 &

# What the filters ask.
install -d -o clamav -g clamav /run/clamav /var/log/clamav "$dir/db"
printf 'Test.Marker:0:*:%s\n' "$(printf MILTERKIT-TEST-VIRUS-MARKER | od -An -tx1 | tr -d ' \n')" >"$dir/db/test.ndb"
cat >"$dir/clamd.conf" <<END
DatabaseDirectory $dir/db
LocalSocket /run/clamav/clamd.ctl
LocalSocketMode 666
User clamav
Foreground yes
END
clamd -c "$dir/clamd.conf" >"$dir/clamd.log" 2>&1 &
mkdir "$dir/site" "$dir/home"
echo "dns_available no" >"$dir/site/local.cf"
cp /etc/spamassassin/*.pre "$dir/site/"
HOME=$dir/home spamd -L -x --nouser-config -i 127.0.0.1 -p 783 -u nobody --siteconfigpath="$dir/site" \
	--configpath=/usr/share/spamassassin >"$dir/spamd.log" 2>&1 &
until_so test -S /run/clamav/clamd.ctl # else clamav-milter puts mail off for a while

# The filters, each by ExecStart of its unit, or by its init script.
for user in opendkim opendmarc pyspf-milter dkimpy-milter; do
	install -d -m 750 -o "$user" -g "$user" "/run/$user"
done
install -d -o _rspamd -g _rspamd /run/rspamd /var/log/rspamd
chown _rspamd:_rspamd /var/lib/rspamd
/usr/sbin/opendkim
/usr/sbin/opendmarc
/usr/bin/pyspf-milter /etc/pyspf-milter/pyspf-milter.conf >"$dir/pyspf.log" 2>&1 &
/usr/bin/dkimpy-milter /etc/dkimpy-milter/dkimpy-milter.conf >"$dir/dkimpy.log" 2>&1 &
runuser -u _rspamd -- /usr/bin/rspamd -c /etc/rspamd/rspamd.conf -f >"$dir/rspamd.log" 2>&1 &
/etc/init.d/clamav-milter start
/etc/init.d/spamass-milter start

all_answer() {
	"$milterkit" detect >"$dir/table"
	! grep "does not answer" "$dir/table"
}
until_so all_answer

# The groups that detect asks for, and no others.
sed -n 's/.*: usermod -aG \([^ ]*\) milterkit$/\1/p' "$dir/table" | while read -r group; do
	sed "s/^\($group:.*:\)\(..*\)\$/\1\2,milterkit/; t; s/^$group:.*:\$/&milterkit/" "$dir/group" >"$dir/group.new"
	cat "$dir/group.new" >"$dir/group" # the file that is mounted, not another one
done

"$milterkit" detect --write "$dir/config" >/dev/null 2>"$dir/written"
"$milterkit" check --config "$dir/config" >"$dir/check"
"$milterkit" serve --config "$dir/config" >"$dir/serve.log" 2>&1 &
until_so grep -q "milterkit is ready" "$dir/serve.log"

send() {
	name=$1
	shift
	"$milterkit" send inet:8890@127.0.0.1 --json "$@" >"$dir/$name.json" || true
}
send clean --subject "lunch"
printf 'From: a@example.org\nSubject: virus\n\nMILTERKIT-TEST-VIRUS-MARKER\n' | send virus -
printf 'From: a@example.org\nSubject: spam\n\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n' >"$dir/gtube"
send spam "$dir/gtube"
send ours "$dir/gtube" --auth alice
