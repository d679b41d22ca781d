package browser

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

//go:embed axe/axe.min.js
var axe string

// looks gives the page a width and a scheme.
func (s *scene) looks(scheme string, width int64) {
	s.t.Helper()
	_, err := chromedp.Call(s.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	must(s.t, err)
	s.do(chromedp.EmulateViewport(width, 800))
}

// runAxe returns what axe-core finds, also what it is not sure of; but for the contrast
// of text whose background it can not tell, that in drawings, which has the colours of
// their captions.
const runAxe = `axe.run(document).then((r) => JSON.stringify({
	passes: r.passes.length,
	found: [...r.violations, ...r.incomplete.filter((v) => v.id !== "color-contrast")].flatMap((v) => v.nodes
		.map((n) => v.id + ": " + v.help + ": " + n.html.slice(0, 200) + " " + (n.any[0]?.message ?? ""))),
}))`

// axe-core finds nothing wrong with the page, in light and dark, on a phone and a desk,
// with all of it open. With SCREENSHOTS=FOLDER there are pictures of it.
func TestAccessible(t *testing.T) {
	s := open(t)
	s.do(chromedp.Click("#refused summary"))
	s.until("the trace is shown", `document.querySelector("#refused .trace tbody tr") !== null`)
	see[chromedp.Void](s, `for (const id of ["figures", "timefigures", "config"]) document.getElementById(id).open = true`)
	s.until("the configuration is shown", `document.querySelector("#config pre").textContent !== ""`)
	s.filter.Kill()
	s.until("the milter is shown to be down", `document.querySelector("#alarms").innerText.includes("is down")`)
	see[chromedp.Void](s, axe)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{320, 1280} {
			s.looks(scheme, width)
			s.until("the drawing fits", `document.querySelector("#outcomes svg").getBoundingClientRect().right <= innerWidth`)
			found := see[string](s, runAxe, chromedp.EvalAwaitPromise)
			var result struct {
				Passes int
				Found  []string
			}
			must(t, json.Unmarshal([]byte(found), &result))
			if len(result.Found) > 0 || result.Passes < 30 {
				t.Errorf("%s, %d: %d rules hold; axe finds\n%s", scheme, width, result.Passes, strings.Join(result.Found, "\n"))
			}
			t.Logf("%s, %d: %d rules of axe hold", scheme, width, result.Passes)
			if wide := see[int64](s, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s: %d pixels wide on a screen of %d", scheme, wide, width)
			}
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				picture, err := chromedp.Run(s.ctx, chromedp.FullScreenshot(100))
				must(t, err)
				must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", scheme, width)), picture, 0o644))
			}
		}
	}
}

// The scheme is what the system says: the page is dark on a dark one.
func TestLightAndDark(t *testing.T) {
	s := open(t)
	var back []string
	for _, scheme := range []string{"light", "dark"} {
		s.looks(scheme, 1280)
		back = append(back, see[string](s, `getComputedStyle(document.body).backgroundColor`))
	}
	if back[0] != "rgb(246, 247, 249)" || back[1] != "rgb(15, 19, 24)" {
		t.Errorf("%s", back)
	}
}

// All that can be worked is reached with Tab, and worked with Enter and the arrows; a
// trace that is open stays open, and keeps the focus, when there is news.
func TestKeyboard(t *testing.T) {
	s := open(t)
	var reached []string
	const where = `((e) => e.id || e.name || e.className || (e.closest("[id]")?.id ?? "") + " " + e.tagName)(document.activeElement)`
	for range 40 {
		s.do(chromedp.KeyEvent(kb.Tab))
		reached = append(reached, see[string](s, where))
	}
	for _, want := range []string{"skip", "pause", "span", "figures SUMMARY", "timefigures SUMMARY", "refused SUMMARY", "config SUMMARY"} {
		if !slices.Contains(reached, want) {
			t.Errorf("Tab does not lead to %s, but to %q", want, reached)
		}
	}
	s.do(chromedp.Focus("#refused summary"), chromedp.KeyEvent(kb.Enter))
	s.until("Enter opens the trace", `document.querySelector("#refused .trace tbody tr") !== null`)
	s.send("bad", 1)
	s.until("there is news", `document.querySelectorAll("#refused > details").length === 3`)
	if !see[bool](s, `document.querySelectorAll("#refused > details")[1].open && document.activeElement === document.querySelectorAll("#refused summary")[1]`) {
		t.Error("the news have closed the trace, or taken the focus")
	}
	s.do(chromedp.Focus("[name=span]"), chromedp.KeyEvent(kb.ArrowRight))
	s.until("an arrow chooses the day", `document.querySelector(".over").textContent === "last 24 hours"`)
}
