package milterkit

import (
	"testing"

	"go.uber.org/goleak"
)

// Tests leave no goroutine behind: no session, no worker, no hook.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
