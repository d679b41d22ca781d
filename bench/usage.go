package bench

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ownCPU is cpuOf this process.
func ownCPU() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) // fails for no clock that there is
	return time.Duration(ts.Nano())
}

// forgetPeak has the peak memory of a process counted anew from now on.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// memoryOf returns the memory that a process has, and the most that it had, in
// bytes.
func memoryOf(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int64 {
		_, rest, _ := strings.Cut(string(text), "\n"+name+":")
		number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		kib, _ := strconv.ParseInt(number, 10, 64)
		return kib << 10
	}
	return field("VmRSS"), field("VmHWM"), nil
}

// listenerOf returns the process that made the unix socket at a; 0 where the
// system does not tell, as for TCP.
func listenerOf(a Addr) int {
	l, err := open(a, sayTimeout)
	if err != nil {
		return 0
	}
	defer l.close()
	nc, ok := l.nc.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	raw.Control(func(fd uintptr) {
		pid = peerOf(int(fd))
	})
	return pid
}

// raiseDescriptors raises this process's limit of descriptors as far as it may,
// and returns what it is then.
func raiseDescriptors() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	l.Cur = l.Max
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	}
	return uint64(l.Cur)
}
