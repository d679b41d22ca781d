package daemon

import "testing"

// TestSessionsNeverWantForDescriptors: all that the sessions may open, and the
// connections of those that wait, stays below the limit.
func TestSessionsNeverWantForDescriptors(t *testing.T) {
	for _, limit := range []int{256, 1024, 4096, 1 << 20} {
		for _, remotes := range []int{0, 1, 5, 20} {
			for _, wanted := range []int{0, 1, 100, 5000} {
				sessions, connections := room(limit, wanted, remotes)
				most := ownDescriptors + connections + sessions*(perSession-1+remotes)
				if most > limit || sessions < 1 || connections <= sessions || wanted > 0 && sessions > wanted {
					t.Errorf("limit %d, %d milters, max_sessions %d: %d sessions, %d connections, %d descriptors", limit, remotes, wanted, sessions, connections, most)
				}
			}
		}
	}
}

// TestDescriptorsForAreEnough: whoever raises the limit as advised gets all the
// sessions.
func TestDescriptorsForAreEnough(t *testing.T) {
	for _, remotes := range []int{0, 1, 5, 20} {
		for wanted := 1; wanted < 5000; wanted += 7 {
			limit := descriptorsFor(wanted, remotes)
			if got, _ := room(limit, wanted, remotes); got != wanted {
				t.Fatalf("%d descriptors, %d milters: %d sessions, want %d", limit, remotes, got, wanted)
			}
		}
	}
}
