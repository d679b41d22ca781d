#!/bin/sh
# build.sh packages [ARCH...]: a deb and an rpm for each, amd64 and arm64 by default.
# build.sh release: these, a tar.gz for each system, what is in them (an SBOM each)
# and their checksums.
#
# All of it comes to lie in bin/release, or below the folder BIN. A second run on the same commit makes the
# same files.
set -eu
cd "$(dirname "$0")/.."

what=${1:-}
[ $# -eq 0 ] || shift
bin=${BIN:-$PWD/bin}
out=$bin/release
# A tag v1.2.3 is version 1.2.3; five commits later it is 1.2.3+5.gabc1234. Where git
# does not know, as in an archive of the sources, VERSION says so.
VERSION=${VERSION:-$(git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/-\([0-9]*\)-g/+\1.g/')}
VERSION=${VERSION:-0.0.0$(git log -1 --format=+%cd.g%h --date=format:%Y%m%d%H%M 2>/dev/null || true)}
VERSION=${VERSION#v}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export VERSION SOURCE_DATE_EPOCH

# stage SYSTEM ARCH: a tree of all that is installed, below STAGE.
stage() {
	STAGE=$bin/stage/$1-$2
	prefix=/usr
	[ "$1" != freebsd ] || prefix=/usr/local
	rm -rf "$STAGE"
	make --no-print-directory -s install VERSION="v$VERSION" GOOS="$1" GOARCH="$2" PREFIX=$prefix DESTDIR="$STAGE" BIN="$bin"
	"$bin/tools/bill" notices "$STAGE$prefix/sbin/milterkit" >"$STAGE$prefix/share/doc/milterkit/NOTICES"
	changelog | gzip -9n >"$STAGE/changelog.gz"
	find "$STAGE" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	export STAGE
}

# changelog: as Debian wants one in each package.
changelog() {
	cat <<-C
		milterkit ($VERSION) unstable; urgency=medium

		  * What has changed is in CHANGELOG.md.

		 -- The milterkit authors <milterkit@users.noreply.github.com>  $(date -uR -d "@$SOURCE_DATE_EPOCH")
	C
}

# The architectures are called as nfpm and Go call them, in the files as their
# systems do.
packages() {
	for ARCH; do
		export ARCH
		stage linux "$ARCH"
		for kind in deb rpm; do
			"$bin/tools/nfpm" package -f packaging/nfpm.yaml -p $kind -t "$out/"
		done
	done
}

release() {
	for target in linux-amd64 linux-arm64 freebsd-amd64 freebsd-arm64; do
		stage "${target%-*}" "${target#*-}"
		name=milterkit-$VERSION-$target
		"$bin/tools/bill" sbom "$STAGE$prefix/sbin/milterkit" >"$out/$name.cdx.json"
		tar -C "$STAGE" --transform "s,^\.,$name," --sort=name --owner=0 --group=0 --numeric-owner --exclude=./changelog.gz -cf - . | gzip -9n >"$out/$name.tar.gz"
	done
	packages amd64 arm64
	(cd "$out" && sha256sum -- * >SHA256SUMS)
}

case $what in
packages | release)
	rm -rf "$out"
	mkdir -p "$out"
	env -u GOOS -u GOARCH go build -C packaging/tools -o "$bin/tools/" tool
	[ $# -gt 0 ] || set -- amd64 arm64
	"$what" "$@"
	ls -l "$out"
	;;
*)
	echo "usage: $0 packages [ARCH...] | release" >&2
	exit 2
	;;
esac
