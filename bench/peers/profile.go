package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/milterkit/sdk/bench"
)

// kinds are the kinds of work that CPU time goes to, by the function that had it;
// the first that fits counts.
var kinds = []struct {
	name string
	of   *regexp.Regexp
}{
	{"system calls", regexp.MustCompile(`Syscall6|vdso`)},
	{"memory", regexp.MustCompile(`malloc|newobject|gcBg|gcDrain|gcWork|scan|sweep|mspan|mheap|mcache|mcentral|markBits|greyobject|wbBuf|memclr|nextFree|heapBits|spanSet|growslice|findObject|spanOf|bulkBarrier|copystack|adjust|unwinder|pcvalue|stkframe|newstack|getStackMap`)},
	{"the log line", regexp.MustCompile(`log/slog|^fmt\.|^strconv\.|utf8`)},
	{"the clock", regexp.MustCompile(`nanotime|^time\.|runtimeNow`)},
	{"connections", regexp.MustCompile(`^internal/poll|^net\.|^syscall\.|fdMutex|^os\.`)},
	{"milterkit itself", regexp.MustCompile(`sdk/milterkit|sdk/internal|sdk/bench`)},
	{"goroutines", regexp.MustCompile(`^runtime\.|^internal/runtime|^sync`)},
}

// profiled measures where the CPU of what stands between goes, in microseconds a
// message by kind of work. start starts the contestant.
func (r *run) profiled(p bench.Point, start func(*bench.Lab, []bench.Addr) (bench.Addr, *bench.Part, error)) (map[string]float64, error) {
	dir, err := os.MkdirTemp("", "mkprofile")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	prefix := filepath.Join(dir, "cpu")
	if err := os.Setenv(bench.ProfileEnv, prefix); err != nil {
		return nil, err
	}
	defer os.Unsetenv(bench.ProfileEnv)
	lab, err := bench.NewLab()
	if err != nil {
		return nil, err
	}
	pid, messages, err := r.load(lab, p, start)
	if closed := lab.Close(); err != nil || closed != nil { // the profile is there then
		return nil, cmp.Or(err, closed)
	}
	return shares(bench.ProfileOf(prefix, pid), messages)
}

// load plays a load past a contestant, and returns its process and the messages.
func (r *run) load(lab *bench.Lab, p bench.Point, start func(*bench.Lab, []bench.Addr) (bench.Addr, *bench.Part, error)) (pid, messages int, err error) {
	filters, _, err := lab.Filters(r.ctx, bench.Filters{Count: p.Children, Silent: p.Silent})
	if err != nil {
		return 0, 0, err
	}
	at, part, err := start(lab, filters)
	if err != nil {
		return 0, 0, err
	}
	load := bench.Load{Addrs: []bench.Addr{at}, Mails: p.Mails(), Sessions: p.Sessions}
	run, err := load.Run(r.ctx, r.turn(4*time.Second))
	return part.Pid(), run.Messages, err
}

// shares reads a CPU profile.
func shares(file string, messages int) (map[string]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	prof, err := profile.Parse(f)
	if err != nil {
		return nil, err
	}
	times := map[string]float64{}
	for _, s := range prof.Sample {
		at := len(s.Value) - 1 // nanoseconds
		times[kindOf(s)] += float64(s.Value[at]) / 1e3 / float64(max(messages, 1))
	}
	return times, nil
}

// kindOf returns the kind of work of the function that a sample was taken in.
func kindOf(s *profile.Sample) string {
	if len(s.Location) > 0 && len(s.Location[0].Line) > 0 {
		name := s.Location[0].Line[0].Function.Name
		for _, k := range kinds {
			if k.of.MatchString(name) {
				return k.name
			}
		}
	}
	return "other"
}

// why says where the CPU of milterkit goes, beside that of a relay in its place.
func (r *run) why(p bench.Point) (string, error) {
	relay, err := r.profiled(p, func(l *bench.Lab, filters []bench.Addr) (bench.Addr, *bench.Part, error) {
		return l.Relay(r.ctx, filters[0])
	})
	if err != nil {
		return "", err
	}
	kit, err := r.profiled(p, func(l *bench.Lab, filters []bench.Addr) (bench.Addr, *bench.Part, error) {
		return l.Milterkit(r.ctx, bench.Mux{Children: []bench.Child{{Remote: filters[0]}}})
	})
	if err != nil {
		return "", err
	}
	var list []string
	for _, k := range kinds {
		list = append(list, fmt.Sprintf("%s %.0f (%.0f)", k.name, kit[k.name], relay[k.name]))
	}
	return "profile, µs of CPU a message, and a relay's: " + strings.Join(list, ", "), nil
}
