package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/milterkit/sdk/test/stack"
)

//go:embed filter.py
var filterScript string

// hostile is a name that would like to be a script.
const hostile = `"<script>alert('x')</script>"@example.org`

// built is the program, for all tests.
var built *stack.Binary

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if _, err := exec.LookPath("chromium"); err != nil {
		fmt.Fprintf(os.Stderr, "%v: run test/install.sh browser as root\n", err)
		return 1
	}
	root, err := stack.NewRoot()
	if err == nil {
		defer root.Remove()
		built = &stack.Binary{Root: root}
		err = built.Build(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// A scene is a milterkit with two milters, one of them Python's, and a window on its
// status page.
type scene struct {
	t         *testing.T
	milterkit *stack.Milterkit
	filter    *stack.PythonMilter
	url       string
	ctx       context.Context // of the window

	mu       sync.Mutex
	requests []string // the page's
	said     []string // on the console
}

// open starts all of it, and opens the page.
func open(t *testing.T) *scene {
	t.Helper()
	root, err := stack.NewRoot()
	must(t, err)
	t.Cleanup(func() { root.Remove() })
	s := &scene{t: t, filter: &stack.PythonMilter{Root: root, Name: "filter", Script: filterScript}}
	must(t, s.filter.Start())
	t.Cleanup(func() { s.filter.Stop() })
	port, err := root.FreePort()
	must(t, err)
	s.url = fmt.Sprintf("http://127.0.0.1:%d/", port)
	s.milterkit = &stack.Milterkit{Root: root, Binary: built, Name: "milterkit"}
	s.milterkit.Config = fmt.Sprintf(`[server]
listen = [%q]
temp_dir = %q
status = "127.0.0.1:%d"
journal = %q

[[milter]]
name = "filter"
socket = %q

[[milter]]
name = "headers"
use = "headers"
[[milter.options.rule]]
header = "Subject"
match = "never"
action = "reject"
text = "<i>never</i>"
`, s.milterkit.Socket(), root.Path("milterkit"), port, root.Path("milterkit", "journal.db"), s.filter.Socket())
	must(t, s.milterkit.Start())
	t.Cleanup(func() { must(t, s.milterkit.Stop()) })
	s.send("good", 3)
	s.send("bad", 2)
	s.window()
	return s
}

// window opens a window on the page, and waits until it shows something.
func (s *scene) window() {
	s.t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	s.t.Cleanup(cancel)
	s.ctx, cancel = chromedp.NewContext(ctx)
	s.t.Cleanup(cancel)
	s.do(chromedp.Navigate("about:blank"))
	must(s.t, chromedp.Listen(s.ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok {
			s.note(&s.requests, e.Request.URL)
		}
	}))
	_, err := chromedp.Call(s.ctx, network.Enable, network.EnableParams{})
	must(s.t, err)
	console := chromedp.Console(s.ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			s.note(&s.said, fmt.Sprintf("%+v", m))
		}
	}()
	s.do(chromedp.Navigate(s.url))
	s.until("the page shows the messages", `document.querySelectorAll("#refused > details").length === 2`)
}

func (s *scene) note(list *[]string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, text)
}

// send sends messages to a recipient.
func (s *scene) send(to string, times int) {
	s.t.Helper()
	for range times {
		_, err := built.Output(s.t.Context(), "send", s.milterkit.Socket(), "--mail-from", "<"+hostile+">", "--rcpt", "<"+to+"@example.test>")
		if (err == nil) != (to == "good") {
			s.t.Fatalf("to %s: %v", to, err)
		}
	}
}

func (s *scene) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	must(s.t, chromedp.Do(s.ctx, steps...))
}

// see evaluates JavaScript in the page.
func see[T any](s *scene, expression string, options ...chromedp.EvaluateOption) T {
	s.t.Helper()
	v, err := chromedp.Run(s.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		s.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until something holds in the page, and returns how long that took.
func (s *scene) until(what, condition string) time.Duration {
	s.t.Helper()
	began := time.Now()
	for !see[bool](s, condition) {
		if time.Since(began) > 30*time.Second {
			s.t.Fatalf("not within 30 s: %s\n%s", what, see[string](s, "document.body.innerText"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quoted is a text as JavaScript has it.
func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// The page asks nobody but the daemon, says nothing on the console, and shows what came
// from mail as text.
func TestThePageKeepsToItself(t *testing.T) {
	s := open(t)
	s.do(chromedp.Click("#refused summary"), chromedp.Click("#config summary"))
	s.until("the trace is shown", `document.querySelector("#refused .trace tbody tr") !== null`)
	s.until("the configuration is shown", `document.querySelector("#config pre").textContent.includes("[[milter]]")`)
	text := see[string](s, `document.querySelector("#refused").textContent`)
	for _, want := range []string{hostile, "550 5.7.1 <img src=x onerror=alert(1)> <b>bold</b>", "filter"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not shown in %s", want, text)
		}
	}
	if n := see[int](s, `document.querySelectorAll("main img, main script, main b > *, main i > *").length`); n != 0 {
		t.Errorf("%d elements came from mail", n)
	}
	if n := see[int](s, `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("page.js")).length`); n != 1 {
		t.Errorf("page.js was loaded %d times", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) < 7 || len(s.said) > 0 {
		t.Errorf("%d requests; on the console: %s", len(s.requests), s.said)
	}
	for _, r := range s.requests {
		if !strings.HasPrefix(r, s.url) && r != "about:blank" {
			t.Errorf("it asks for %s", r)
		}
	}
}

// A milter that stops is shown within five seconds, without a message, and so is its
// return; a daemon that is gone is told of, and one that is back.
func TestWhatStopsIsShown(t *testing.T) {
	s := open(t)
	row := `[...document.querySelectorAll("#rows tr")].find((r) => r.textContent.startsWith("filter"))`
	s.until("the milter is up", row+`.className === "up"`)
	s.filter.Kill()
	if took := s.until("the milter is shown to be down", row+`.className === "down" && document.querySelector("#alarms").innerText.includes("filter is down")`); took > 5*time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("down after %v", took)
	}
	if why := see[string](s, row+`.innerText`); !strings.Contains(why, "since") || !strings.Contains(why, "connection refused") {
		t.Errorf("%s", why)
	}
	s.send("bad", 1)
	s.until("the deferred message is shown", `document.querySelector("#refused summary").innerText.includes("deferred")`)
	again := &stack.PythonMilter{Root: s.filter.Root, Name: "filter", Script: filterScript}
	must(t, again.Start())
	t.Cleanup(func() { again.Stop() })
	s.until("the milter is up again", row+`.className === "up"`)

	must(t, s.milterkit.Stop())
	if took := s.until("the daemon is gone", `document.querySelector("#live").textContent.includes("does not answer since")`); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	back := &stack.Milterkit{Root: s.milterkit.Root, Binary: built, Name: "milterkit", Config: s.milterkit.Config}
	must(t, back.Start())
	s.milterkit = back
	s.until("the daemon is back", `document.querySelector("#live").textContent === "Live"`)
	if n := see[int](s, `document.querySelectorAll("#refused > details").length`); n != 3 {
		t.Errorf("%d refused messages are shown after a restart, want 3", n)
	}
}

// What is hidden asks for nothing, and nor does what is told to pause.
func TestPausing(t *testing.T) {
	s := open(t)
	s.do(chromedp.Click("#pause"))
	if live := see[string](s, `document.querySelector("#live").textContent`); !strings.HasPrefix(live, "Paused at ") {
		t.Errorf("%s", live)
	}
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.requests)
	}
	before := count()
	time.Sleep(2500 * time.Millisecond)
	if after := count(); after != before {
		t.Errorf("%d requests while it pauses", after-before)
	}
	s.do(chromedp.Click("#pause"))
	s.until("it is live", `document.querySelector("#live").textContent === "Live"`)
}

// The policy keeps what would get in from running, and another site from the data.
func TestOtherSitesSeeNothing(t *testing.T) {
	s := open(t)
	u, err := url.Parse(s.url)
	must(t, err)
	s.do(chromedp.Navigate("data:text/html,<p>other"))
	got := see[string](s, fmt.Sprintf(`fetch(%s).then((r) => r.text(), (e) => "blocked")`, quoted(s.url+"status.json")), chromedp.EvalAwaitPromise)
	if got != "blocked" {
		t.Errorf("another site reads %s", got)
	}
	s.do(chromedp.Navigate("http://milterkit.localhost:" + u.Port() + "/"))
	s.until("a name that ends in localhost will do", `document.querySelectorAll("#rows tr").length === 2`)
}
