package detect

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Services whose names come to the same, once what a name cannot have is replaced,
// have different ones all the same.
func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	r := find(t, unpack(t, `-- /etc/systemd/system/a-milter@.service --
[Service]
ExecStart=/bin/a -p unix:/run/%p-%i.sock
-- /etc/systemd/system/x.wants/a-milter@b.service --
-- /etc/systemd/system/x.wants/a-milter@b:.service --
-- /etc/systemd/system/a-milter-b.service --
[Service]
ExecStart=/bin/a -p unix:/run/b.sock
-- /bin/a +x --
`))
	var names []string
	for _, p := range r.Plan() {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "a-milter-b a-milter-b-2 a-milter-b-" {
		t.Error(got)
	}
}

// Whoever has two services on one socket is told, and one of them takes part.
func TestOneMilterASocket(t *testing.T) {
	t.Parallel()
	r := find(t, unpack(t, `-- /etc/systemd/system/a-milter.service --
[Service]
ExecStart=/bin/a -p unix:/run/x.sock
-- /etc/systemd/system/b-milter.service --
[Service]
ExecStart=/bin/a -p local:/run/x.sock
-- /etc/systemd/system/x.wants/a-milter.service --
-- /etc/systemd/system/x.wants/b-milter.service --
-- /bin/a +x --
`))
	if m := r.Milters; len(m) != 2 || !m[0].Enabled || m[1].Enabled || m[1].Why != "a-milter is on the same socket" {
		t.Errorf("got %+v", m)
	}
}

// What is no file, or too big, or leads out of the tree, is skipped, and nothing
// waits for it.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	units := filepath.Join(root, "etc/systemd/system")
	out := filepath.Join(t.TempDir(), "out-milter.service")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(units, "folder-milter.service"), 0o755),
		syscall.Mkfifo(filepath.Join(units, "pipe-milter.service"), 0o644),
		os.WriteFile(filepath.Join(units, "big-milter.service"), make([]byte, maxFile+1), 0o644),
		os.WriteFile(out, []byte("[Service]\nExecStart=/bin/a -p unix:/run/out.sock\n"), 0o644),
		os.Symlink(out, filepath.Join(units, "out-milter.service")),
		os.Symlink("../../../../../../../../.."+out, filepath.Join(units, "up-milter.service")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := find(t, root)
	var got []string
	for _, n := range r.Skipped {
		got = append(got, n.String())
	}
	const want = `/etc/systemd/system/big-milter.service: skipped: it has more than 1048576 bytes
/etc/systemd/system/folder-milter.service: skipped: it is not a file
/etc/systemd/system/pipe-milter.service: skipped: it is not a file`
	if strings.Join(got, "\n") != want || len(r.Milters) != 0 {
		t.Errorf("got\n%s\nmilters: %+v", strings.Join(got, "\n"), r.Milters)
	}
}

// What is no file is not even opened: a device may do something then.
func TestOnlyFilesAreOpened(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(root, "x")) // to open it is an error of its own
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := (tree{root}).read("/x"); err == nil || err.Error() != "it is not a file" {
		t.Error(err)
	}
}
