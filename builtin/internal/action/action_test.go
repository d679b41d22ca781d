package action

import (
	"errors"
	"testing"
)

// An error about an action names the option, what is wrong, and what would be right.
func TestErrorSaysWhatWouldBeRight(t *testing.T) {
	err := Check("fail", "rejct", None, Reject, TempFail)
	const want = `fail: "rejct" is no action; write "none", "reject" or "tempfail"`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	var named interface{ Option() string }
	if !errors.As(err, &named) || named.Option() != "fail" {
		t.Error("the error does not name its option")
	}
	if err := Check("fail", "reject", None, Reject); err != nil {
		t.Error(err)
	}
}
