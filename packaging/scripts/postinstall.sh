#!/bin/sh
# Runs after the files are there. dpkg calls it with "configure" and the version
# that was configured before, if any; rpm with the number of versions that there
# are now. It works without systemd, as in a container.
set -e

case "$1" in
configure) first=yes; [ -z "$2" ] || first= ;;
1) first=yes ;;
2) first= ;;
*) exit 0 ;; # dpkg takes something back
esac

config=/etc/milterkit/milterkit.toml

getent group milterkit >/dev/null || groupadd --system milterkit
getent passwd milterkit >/dev/null ||
	useradd --system --gid milterkit --home-dir /var/lib/milterkit --no-create-home \
		--shell /usr/sbin/nologin --comment "mail filters" milterkit
# Then it can give its sockets to Postfix.
if [ "$first" ] && getent group postfix >/dev/null; then
	usermod -a -G postfix milterkit
fi

mkdir -p /etc/milterkit
[ -d /var/lib/milterkit ] || install -d -o milterkit -g milterkit -m 0750 /var/lib/milterkit
# Where systemd does not run, nobody else makes this one.
[ -d /run/systemd/system ] || [ -d /run/milterkit ] || install -d -o milterkit -g milterkit -m 0755 /run/milterkit

if [ ! -e "$config" ]; then
	if milterkit detect --write "$config"; then
		chgrp milterkit "$config"
		chmod 0640 "$config" # there may be passwords in it
	else
		echo "milterkit: no configuration was written; see milterkit detect --help" >&2
	fi
fi

# Debian's helpers remember what the administrator has enabled, and heed policy-rc.d.
if command -v deb-systemd-helper >/dev/null; then
	deb-systemd-helper unmask milterkit.service >/dev/null || true
	if deb-systemd-helper --quiet was-enabled milterkit.service; then
		deb-systemd-helper enable milterkit.service >/dev/null || true
	else
		deb-systemd-helper update-state milterkit.service >/dev/null || true
	fi
elif [ "$first" ] && command -v systemctl >/dev/null; then
	systemctl --no-reload preset milterkit.service >/dev/null 2>&1 || true
fi
if [ -d /run/systemd/system ]; then
	systemctl --system daemon-reload >/dev/null || true
	if [ "$1" = configure ] && [ "$first" ]; then
		deb-systemd-invoke start milterkit.service >/dev/null || true
	elif [ ! "$first" ] && systemctl is-active --quiet milterkit.service; then
		# The new version takes over the sockets, and no session is lost. Where the one
		# that runs cannot do that, it is stopped and started.
		milterkit restart >/dev/null 2>&1 || systemctl try-restart milterkit.service >/dev/null || true
	fi
fi

[ "$first" ] || exit 0
cat <<'M'

milterkit is installed. Its configuration is /etc/milterkit/milterkit.toml; look
through it, and have the mail server ask milterkit in place of the filters:

  postconf -e 'smtpd_milters = inet:127.0.0.1:8890' 'non_smtpd_milters = $smtpd_milters' 'milter_default_action = tempfail'
  postfix reload

milterkit check tells what is wrong with the file, and milterkit doctor what is
wrong between the mail server, milterkit and the filters.

M
