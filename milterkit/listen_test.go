package milterkit

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
)

// A socket that is dead is replaced, and only the group can connect to the new one.
func TestListensInPlaceOfADeadSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "l")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := dir + "/s"
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	ln, err := listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", fi, err)
	}
	if _, err := listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "another server answers on this socket") {
		t.Errorf("on a socket that is in use: %v", err)
	}
}

func TestWrongAddressesAreToldWhatIsRight(t *testing.T) {
	slot := Slot{Child: OnRcpt("no", func(context.Context, *Envelope, Address) Verdict { return Reject("no") })}
	for addr, want := range map[string]string{
		"127.0.0.1:8890": `did you mean "inet:8890@127.0.0.1"?`,
		"systemd:x":      "served by the daemon only",
		"unix:/":         "is a directory",
	} {
		if err := ListenAndServe(addr, slot); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
	if err := ListenAndServe("inet:8890@127.0.0.1", Slot{}); err == nil || !strings.Contains(err.Error(), "has no child") {
		t.Errorf("without a child: %v", err)
	}
}
