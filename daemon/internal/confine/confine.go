// Package confine takes from the process, for good, what it does not need: it may
// write only below some folders (Landlock), and gains no rights from a program that
// it starts. Reading, connecting and starting programs stay as they are.
package confine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// variable tells a process that this one starts what both are confined to: it
// inherits that, and there is no second time.
const variable = "MILTERKIT_WRITABLE"

// separator is what stands between them there; no sane folder has it.
const separator = "\n"

// Folders returns below which folders this process may write, and whether it is
// confined at all.
func Folders() (folders []string, confined bool) {
	v, confined := os.LookupEnv(variable)
	return strings.Split(v, separator), confined
}

// Outside returns those of the folders below which this process may not write because
// it is confined to others.
func Outside(folders []string) []string {
	may, confined := Folders()
	if !confined {
		return nil
	}
	return slices.DeleteFunc(clean(folders), func(f string) bool {
		return slices.ContainsFunc(may, func(m string) bool { return m == "/" || f == m || strings.HasPrefix(f, m+"/") })
	})
}

// clean returns what the folders are called without links, each once.
func clean(folders []string) []string {
	var all []string
	for _, f := range folders {
		if real, err := filepath.EvalSymlinks(f); err == nil {
			f = real
		}
		all = append(all, filepath.Clean(f))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
