// Package packages installs the packages on a Debian that has nothing but Postfix,
// in namespaces of its own, and looks at what comes and what stays:
//
//	go test ./test/packages                # as in a container, without systemd
//	go test ./test/packages -args -systemd # on one that systemd has booted
//
// test/install.sh makes the tree of that Debian. The tests must be run as root.
package packages
