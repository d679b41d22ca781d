#!/bin/sh
# install.sh: installs from Debian what the end-to-end tests in this folder need.
#
# It may be run any number of times: it installs what is missing, and does
# nothing, quickly, when all is there. No daemon is started by it.
set -eu

packages="postfix swaks clamav-daemon clamav-milter spamassassin spamd spamc spamass-milter opendkim opendkim-tools"

say() { echo "install.sh: $*"; }
die() { echo "install.sh: $*" >&2; exit 1; }

# installed PACKAGE: whether dpkg has it, unpacked and configured.
installed() {
	[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
	die "this is not a Debian system; install by hand: $packages"

missing=
for p in $packages; do
	installed "$p" || missing="$missing $p"
done
if [ -z "$missing" ]; then
	say "all packages are installed"
	exit 0
fi
[ "$(id -u)" = 0 ] || die "must be root to install:$missing (try: sudo $0)"

# Without this file, installing a daemon also starts it, on its usual port.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	say "creating /usr/sbin/policy-rc.d, so that no daemon is started"
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
fi

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt() { apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"; }

# A fresh machine has no package lists, an old one has lists whose packages
# are gone from the mirror: fetch them when a package is unknown, and again
# when the first attempt fails.
known() {
	for p in $missing; do
		[ -n "$(apt-cache policy "$p" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p')" ] || return 1
	done
}
if ! known; then
	say "fetching the package lists"
	apt update || die "apt-get update failed"
	known || die "no package for some of:$missing (Debian 12 has them all)"
fi

# Postfix asks which kind of site it is; the tests bring their own configuration.
command -v debconf-set-selections >/dev/null && debconf-set-selections <<'P'
postfix postfix/main_mailer_type select No configuration
postfix postfix/mailname string test.invalid
P

say "installing:$missing"
# The list is to be split into words.
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $missing; then
	say "failed; fetching the package lists anew and trying again"
	apt update || die "apt-get update failed"
	apt install -y --no-install-recommends $missing || die "could not install:$missing"
fi
for p in $missing; do
	installed "$p" || die "$p is not installed after all"
done
say "done"
