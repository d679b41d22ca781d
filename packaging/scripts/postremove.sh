#!/bin/sh
# Runs when the files are gone. After a removal configuration, data and the user to
# whom they belong stay; after dpkg's purge nothing does. rpm has no purge.
set -e

case "$1" in
remove | 0)
	[ ! -d /run/systemd/system ] || systemctl --system daemon-reload >/dev/null || true
	rm -rf /run/milterkit
	;;
purge)
	rm -rf /etc/milterkit /var/lib/milterkit /run/milterkit
	# Where a socket is for a Postfix in a chroot: made by hand, and now nobody's.
	rm -rf /var/spool/postfix/milterkit
	! command -v deb-systemd-helper >/dev/null || deb-systemd-helper purge milterkit.service milterkit.socket >/dev/null || true
	# Nothing is left that belongs to them.
	! getent passwd milterkit >/dev/null || userdel milterkit || true
	! getent group milterkit >/dev/null || groupdel milterkit || true
	;;
esac
