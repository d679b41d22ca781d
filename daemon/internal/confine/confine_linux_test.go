package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// folder, in the environment, has the test binary confine itself to it and try things.
const folder = "MILTERKIT_TEST_CONFINE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(folder); dir != "" {
		if err := confined(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// confined is what a process does that may write below dir only. Beside it there is a
// folder "other", which it might write to before.
func confined(dir string) error {
	other := filepath.Join(filepath.Dir(dir), "other")
	for range 2 { // the second time does nothing
		if err := Writes([]string{dir, "/not/there"}); err != nil {
			return err
		}
	}
	var threads sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		threads.Go(func() {
			name := fmt.Sprint(os.Getpid(), ".", i)
			if err := os.WriteFile(filepath.Join(other, name), nil, 0o600); !errors.Is(err, fs.ErrPermission) {
				errs[i] = fmt.Errorf("a write outside: %v", err)
			}
			inside := filepath.Join(dir, name)
			errs[i] = errors.Join(errs[i], os.WriteFile(inside, []byte("x"), 0o600), os.Truncate(inside, 0), os.Rename(inside, inside+"b"), os.Remove(inside+"b"))
		})
	}
	threads.Wait()
	if _, err := os.ReadFile(filepath.Join(other, "there")); err != nil {
		errs = append(errs, fmt.Errorf("reading outside: %w", err))
	}
	if err := os.Remove(filepath.Join(other, "there")); !errors.Is(err, fs.ErrPermission) {
		errs = append(errs, fmt.Errorf("a removal outside: %v", err))
	}
	if text, _ := os.ReadFile("/proc/self/status"); !strings.Contains(string(text), "\nNoNewPrivs:\t1\n") {
		errs = append(errs, errors.New("a program that is started may gain rights"))
	}
	if got := Outside([]string{dir, filepath.Join(dir, "below"), other, dir + "x"}); !slices.Equal(got, []string{dir + "x", other}) {
		errs = append(errs, fmt.Errorf("outside are %v", got))
	}
	if os.Getenv("AGAIN") == "" { // whom it starts is confined as well, and knows
		self := exec.Command("/proc/self/exe")
		self.Env = append(os.Environ(), "AGAIN=1")
		if out, err := self.CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("of a process that it starts: %w: %s", err, out))
		}
	}
	return errors.Join(errs...)
}

// A confined process writes where it may, from each of its threads and from those of
// processes that it starts, and nowhere else; it reads everything.
func TestWritesWhereItMay(t *testing.T) {
	if v, err := ll.LandlockGetABIVersion(); err != nil || v < withRefer {
		t.Logf("this kernel has no Landlock: %d, %v", v, err)
		return
	}
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir, other := filepath.Join(top, "dir"), filepath.Join(top, "other")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "below"), 0o755), os.Mkdir(other, 0o755), os.WriteFile(filepath.Join(other, "there"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link") // a folder may be named by a link
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), folder+"="+name, "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// Who is not confined has nothing outside.
func TestNotConfined(t *testing.T) {
	if got := Outside([]string{"/", "/etc"}); got != nil {
		t.Error(got)
	}
}
