package daemon

import "syscall"

// inMemory reports whether dir is on a file system that lives in memory.
// Source: TMPFS_MAGIC and RAMFS_MAGIC in linux/magic.h.
func inMemory(dir string) bool {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return false
	}
	magic := uint32(fs.Type)
	return magic == 0x01021994 || magic == 0x858458f6
}
