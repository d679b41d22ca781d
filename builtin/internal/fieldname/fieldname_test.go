package fieldname

import "testing"

// Names differ in the case of ASCII letters at most.
func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"X-Spam", "x-sPAM", true},
		{"X-Spam", "X-Spa", false},
		{"X-Spam", "X-Span", false},
		{"X-\u017fpam", "X-spam", false},
		{"X-\u017fam", "X-spam", false},
		{"\u212a", "k", false},
		{"a@", "a`", false},
		{"", "", true},
	} {
		if got := Same([]byte(c.a), c.b); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}
