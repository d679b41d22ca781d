package tomlfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// This file has the texts that stand for a size and for a time.

// A Size is a number of bytes.
type Size int64

// sizeUnits are what a size may end in, the largest first.
var sizeUnits = []struct {
	name  string
	bytes Size
}{
	{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return "0B"
}

// ReadSize reads "256MiB", "10MB", or a bare number of bytes, which alone can be
// less than 0.
func ReadSize(v *Value) (Size, error) {
	if v.Kind != IsInteger {
		return Text("256MiB", parseSize)(v)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number of bytes", v.Text)
	}
	return Size(n), nil
}

func parseSize(s string) (Size, error) {
	digits := strings.TrimLeft(s, "0123456789")
	number, unit := s[:len(s)-len(digits)], strings.TrimSpace(digits)
	factor := Size(0)
	for _, u := range sizeUnits {
		if strings.EqualFold(unit, u.name) {
			factor = u.bytes
		}
	}
	if unit == "" {
		factor = 1
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case number == "" || factor == 0:
		if unit != "" && number != "" && strings.Contains("kmgKMG", unit) {
			return 0, fmt.Errorf("%q is not a size; write %q or %q", s, number+strings.ToUpper(unit)+"iB", number+strings.ToUpper(unit)+"B")
		}
		return 0, fmt.Errorf(`%q is not a size; write a whole number and a unit, such as "256MiB", "10MB" or "65536B"`, s)
	case err != nil || n > math.MaxInt64/int64(factor):
		return 0, fmt.Errorf("%q is more than any computer has", s)
	}
	return Size(n) * factor, nil
}

// ParseDuration reads "25s" or "4m50s".
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if _, bare := strconv.ParseUint(s, 10, 32); bare == nil && s != "0" {
		return 0, fmt.Errorf("%q has no unit; for seconds write %q", s, s+"s")
	}
	if err != nil {
		return 0, fmt.Errorf(`%q is not a time; write numbers with the units h, m, s or ms, such as "25s" or "4m50s"`, s)
	}
	return d, nil
}

// FormatDuration writes "4m", where Duration.String has "4m0s".
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
