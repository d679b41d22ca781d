package tomlfile

import "testing"

func TestNearestFindsASlipNotAnotherWord(t *testing.T) {
	words := []string{"listen", "user", "log", "status"}
	for word, want := range map[string]string{
		"lisetn": "listen", "listne": "listen", "Listen": "listen", "users": "user", "lg": "log",
		"status_page": "", "x": "", "": "", "milter": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
