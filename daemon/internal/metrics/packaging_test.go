package metrics

import (
	"os"
	"regexp"
	"testing"
)

// What the dashboard and the alert rules ask for is served.
func TestDashboardAndRulesAskForWhatIsServed(t *testing.T) {
	metrics := all(t)
	for _, file := range []string{"grafana/milterkit.json", "prometheus/milterkit.rules.yml", "prometheus/milterkit.rules.test.yml"} {
		text, err := os.ReadFile("../../../packaging/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bmilterkit_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if metrics[name].kind == "" && metrics[base].kind != "histogram" {
				t.Errorf("%s asks for %s, which is not served", file, name)
			}
		}
	}
}
