package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the CPU time of a process, in the kernel and outside, with that
// of threads that have ended. Source: CPUCLOCK_SCHED in Linux,
// include/linux/posix-timers_types.h; clock_getcpuclockid(3).
func cpuOf(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// peerOf returns the process at the other end of a unix socket, or 0. Source:
// SO_PEERCRED in unix(7).
func peerOf(fd int) int {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}
