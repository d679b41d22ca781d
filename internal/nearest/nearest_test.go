package nearest

import "testing"

func TestNearestFindsASlipNotAnotherWord(t *testing.T) {
	words := []string{"listen", "user", "log", "status"}
	for word, want := range map[string]string{
		"lisetn": "listen", "listne": "listen", "Listen": "listen", "users": "user", "lg": "log",
		"status_page": "", "x": "", "": "", "milter": "",
	} {
		if got := To(word, words); got != want {
			t.Errorf("To(%q) = %q, want %q", word, got, want)
		}
	}
}
