#!/bin/sh
# Runs before the files go. dpkg calls it with "remove" or "upgrade", rpm with the
# number of versions that will be left.
set -e

case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
	if command -v deb-systemd-invoke >/dev/null; then
		deb-systemd-invoke stop milterkit.socket milterkit.service >/dev/null || true
	else
		systemctl --no-reload disable --now milterkit.socket milterkit.service >/dev/null 2>&1 || true
	fi
fi
