#!/bin/sh
# install.sh: installs from Debian what the end-to-end tests in this folder need.
#
# Sendmail's packages cannot be installed beside Postfix's: they are downloaded
# and unpacked below /var/cache/milterkit-test, where the tests look for them.
#
# With the word browser it installs what the tests of the status page in test/browser
# need besides, Chromium, which is 270 MB.
#
# It may be run any number of times: it installs what is missing, and does
# nothing, quickly, when all is there. No daemon is started by it.
set -eu

packages="postfix m4 swaks clamav-daemon clamav-milter spamassassin spamd spamc spamass-milter opendkim opendkim-tools rspamd python3-milter pyspf-milter dkimpy-milter opendmarc unbound redis-server prometheus gcc libc6-dev libmilter-dev"
packages="$packages debootstrap iproute2 lintian mandoc rpm shellcheck systemd systemd-container"

[ "${1:-}" != browser ] || packages="$packages chromium"

# Sendmail, and the libraries that it needs beyond those of the packages above.
unpacked="sendmail-bin sendmail-base sendmail-cf libwrap0 libnsl2 liblockfile1"
sendmail=/var/cache/milterkit-test/sendmail

# A Debian that has nothing but Postfix and systemd, on which the packages are installed.
debian=/var/cache/milterkit-test/debian

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
if [ -z "$missing" ] && [ -d "$sendmail" ] && [ -d "$debian" ]; then
	say "all packages are installed"
	exit 0
fi
[ "$(id -u)" = 0 ] || die "must be root to install:$missing sendmail debian (try: sudo $0)"

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
	for p in $missing $unpacked; do
		[ -n "$(apt-cache policy "$p" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p')" ] || return 1
	done
}
if ! known; then
	say "fetching the package lists"
	apt update || die "apt-get update failed"
	known || die "no package for some of:$missing $unpacked (Debian 12 has them all)"
fi

# again COMMAND...: runs it, and once more with new package lists if it fails.
again() {
	"$@" && return
	say "failed; fetching the package lists anew and trying again"
	apt update || die "apt-get update failed"
	"$@"
}

# Postfix asks which kind of site it is; the tests bring their own configuration.
command -v debconf-set-selections >/dev/null && debconf-set-selections <<'P'
postfix postfix/main_mailer_type select No configuration
postfix postfix/mailname string test.invalid
P

# The lists are to be split into words.
# shellcheck disable=SC2086
if [ -n "$missing" ]; then
	say "installing:$missing"
	again apt install -y --no-install-recommends $missing || die "could not install:$missing"
	for p in $missing; do
		installed "$p" || die "$p is not installed after all"
	done
fi

# unpack FOLDER: makes a tree of the files of the packages that are not installed.
# The folder is the sandbox user's, as which apt downloads.
# shellcheck disable=SC2086
unpack() {
	mkdir "$1/deb" "$1/root"
	! id _apt >/dev/null 2>&1 || chown _apt "$1/deb"
	(cd "$1/deb" && again apt download $unpacked) || die "could not download: $unpacked"
	for deb in "$1"/deb/*.deb; do
		dpkg-deb -x "$deb" "$1/root" || die "could not unpack $deb"
	done
	# The packaged setgid bit would have the loader ignore LD_LIBRARY_PATH.
	chmod 755 "$1/root/usr/libexec/sendmail/sendmail"
	lost=$(LD_LIBRARY_PATH=$(echo "$1"/root/usr/lib/*-linux-gnu*) ldd "$1/root/usr/libexec/sendmail/sendmail" | grep 'not found' || true)
	[ -z "$lost" ] || die "sendmail lacks libraries: $lost"
}

# The folder gets its name when all is in it.
if [ ! -d "$sendmail" ]; then
	say "unpacking Sendmail to $sendmail: $unpacked"
	mkdir -p "${sendmail%/*}"
	work=$(mktemp -d "$sendmail.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	chmod 755 "$work"
	unpack "$work"
	mv "$work/root" "$sendmail"
	rm -rf "$work"
fi

# It is of the release that this machine has, from the mirror that apt has for it.
if [ ! -d "$debian" ]; then
	say "unpacking a Debian to $debian"
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $release" | head -n 1)
	tree=$(mktemp -d "$debian.XXXXXX")
	trap 'rm -rf --one-file-system "$tree" "$tree.log"' EXIT
	again debootstrap --variant=minbase --include=postfix,systemd,systemd-sysv "$release" "$tree" "$mirror" >"$tree.log" ||
		{ tail -n 20 "$tree.log" >&2; die "debootstrap failed"; }
	rm -f "$tree"/var/cache/apt/archives/*.deb
	chmod 755 "$tree"
	mv "$tree" "$debian"
fi
say "done"
