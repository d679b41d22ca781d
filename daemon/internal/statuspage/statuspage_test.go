package statuspage

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/record"
)

// A told is a Source that has one message, of a client who would like to be a script.
type told struct{}

const hostile = "<script>alert(1)</script>\u202e\"'&"

func (told) Status(_ *http.Request, span history.Span) *Status {
	h := history.New()
	return &Status{Series: h.Series(span), Milters: []Milter{{Name: hostile}}, Last: Briefs([]history.Kept{{N: 7, Message: told{}.Message(7)}})}
}

func (told) Message(n uint64) *record.Message {
	if n != 7 {
		return nil
	}
	sender := hostile
	return &record.Message{
		Sender: &sender, To: []string{hostile}, Rcpts: 1, Client: hostile, Took: 1500 * time.Microsecond,
		Outcome: "reject", By: "a", Code: 550, Reply: hostile,
	}
}

func (told) Config() []byte { return []byte("[server]\n") }

func serving() *http.ServeMux {
	mux := http.NewServeMux()
	Register(func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, h) }, told{}, func() []string { return []string{"mail.example.org"} })
	return mux
}

func get(mux http.Handler, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

// All that the page names is one of its own files, and nothing in it stands where the
// policy would forbid it.
func TestThePageLoadsItsOwnFilesOnly(t *testing.T) {
	mux := serving()
	entries, err := fs.ReadDir(files, "files")
	if err != nil || len(entries) != len(types) {
		t.Errorf("%d files, %d of them have a type, %v", len(entries), len(types), err)
	}
	all := ""
	for _, e := range entries {
		text, _ := files.ReadFile("files/" + e.Name())
		all += string(text)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]+)"|from "\./([^"]+)"`).FindAllStringSubmatch(all, -1) {
		name := m[1] + m[2]
		if w := get(mux, "http://localhost/"+name); w.Code != 200 || w.Header().Get("Content-Type") != types[name] {
			t.Errorf("%s: %d %s", name, w.Code, w.Header())
		}
	}
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", " style=", " onclick=", "<style", "@import"} {
		if strings.Contains(all, bad) {
			t.Errorf("the page's files have %s", bad)
		}
	}
	w := get(mux, "http://127.0.0.1:8891/")
	if p := w.Header().Get("Content-Security-Policy"); w.Code != 200 || !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
		t.Errorf("%d %s", w.Code, p)
	}
	if again := get(mux, "http://localhost/", "If-None-Match", w.Header().Get("ETag")); again.Code != 304 {
		t.Errorf("%d", again.Code)
	}
	if len(all) > 60<<10 {
		t.Errorf("the page has %d bytes", len(all))
	}
}

// Who came by a name that is not ours, or asks from a page of another site, is told
// nothing.
func TestStrangersAreToldNothing(t *testing.T) {
	mux := serving()
	for host, want := range map[string]int{
		"127.0.0.1:8891": 200, "[::1]:8891": 200, "localhost": 200, "LOCALHOST.:8891": 200, "192.0.2.1:80": 200, "mail.example.org:8891": 200, "a.localhost": 200,
		"evil.example": 403, "127.0.0.1.evil.example:8891": 403, "localhost.evil.example": 403, "mail.example.org.evil.example": 403, "": 403,
	} {
		for _, path := range []string{"/", "/page.js", "/status.json", "/message.json?n=7", "/config.toml"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%q%s: %d", host, path, w.Code)
			}
		}
	}
	if w := get(mux, "http://localhost/status.json", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); w.Code != 403 {
		t.Errorf("another site: %d", w.Code)
	}
	if w := get(mux, "http://localhost/", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"); w.Code != 200 {
		t.Errorf("a link on another site: %d", w.Code)
	}
}

// Over a unix socket any name will do that nobody can have in DNS: a browser gets there
// through a tunnel.
func TestNamesOverAUnixSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: serving()}
	go s.Serve(ln)
	defer s.Close()
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", ln.Addr().String())
	}}}
	for host, want := range map[string]int{"milterkit": 200, "localhost:8891": 200, "127.0.0.1:8891": 200, "evil.example:8891": 403, "mail.example.org": 200} {
		resp, err := c.Get("http://" + host + "/status.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("%s: %d %v", host, resp.StatusCode, err)
		}
		resp.Body.Close()
	}
}

// What came from mail is in JSON as it came, and never as HTML.
func TestAnswers(t *testing.T) {
	mux := serving()
	w := get(mux, "http://localhost/status.json?span=month")
	var s Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatal(err)
	}
	b := s.Last[0]
	if s.Series.Span != "month" || s.Milters[0].Name != hostile || b.Reply != hostile || *b.From != hostile || b.To != hostile || b.Code != 550 || b.TookMS != 1.5 || b.N != 7 {
		t.Errorf("%+v", b)
	}
	if strings.Contains(w.Body.String(), "<script") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Error("a browser could take it for a page")
	}
	var m record.Message
	if err := json.Unmarshal(get(mux, "http://localhost/message.json?n=7").Body.Bytes(), &m); err != nil || m.Reply != hostile {
		t.Errorf("%+v %v", m, err)
	}
	for path, want := range map[string]int{"/message.json?n=8": 404, "/message.json?n=x": 400, "/message.json": 400, "/status.json?span=year": 400, "/nothing": 404} {
		if w := get(mux, "http://localhost"+path); w.Code != want || strings.Contains(w.Header().Get("Content-Type"), "html") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get(mux, "http://localhost/config.toml"); w.Body.String() != "[server]\n" {
		t.Errorf("%s", w.Body)
	}
}
