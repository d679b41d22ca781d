// Package statuspage is the status page: files that a browser shows, and the JSON that they
// and `milterkit status` are made of. The page loads nothing from elsewhere, and takes
// what comes from mail for text only.
package statuspage

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/milterkit/sdk/daemon/internal/history"
	"github.com/milterkit/sdk/daemon/internal/record"
)

//go:embed files
var files embed.FS

// A Source is what the page asks. Its methods are called at the same time.
type Source interface {
	// Status tells how the daemon is, with a history of that span.
	Status(r *http.Request, span history.Span) *Status

	// Message returns a message that is kept, or nil.
	Message(n uint64) *record.Message

	// Config returns the configuration in effect, without secrets.
	Config() []byte
}

// policy has a browser load nothing but the page's own files, and show it nowhere but
// in a window of its own.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var types = map[string]string{
	"index.html": "text/html; charset=utf-8",
	"page.css":   "text/css; charset=utf-8",
	"page.js":    "text/javascript; charset=utf-8",
	"draw.js":    "text/javascript; charset=utf-8",
	"text.js":    "text/javascript; charset=utf-8",
	"trace.js":   "text/javascript; charset=utf-8",
	"icon.svg":   "image/svg+xml",
}

// Register adds the page to a server. Names are those by which a browser may know
// the server, besides addresses and localhost.
func Register(handle func(pattern string, h http.HandlerFunc), source Source, names func() []string) {
	get := func(path string, h http.HandlerFunc) {
		handle("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if why := stranger(r, names()); why != "" {
				http.Error(w, why, http.StatusForbidden)
				return
			}
			head := w.Header()
			head.Set("Content-Security-Policy", policy)
			head.Set("Cross-Origin-Resource-Policy", "same-origin")
			head.Set("Cross-Origin-Opener-Policy", "same-origin")
			head.Set("Referrer-Policy", "no-referrer")
			head.Set("X-Content-Type-Options", "nosniff")
			head.Set("Cache-Control", "no-store")
			h(w, r)
		})
	}
	for name := range types {
		path := "/" + name
		if name == "index.html" {
			path = "/{$}"
		}
		get(path, file(name))
	}
	get("/status.json", func(w http.ResponseWriter, r *http.Request) {
		asked := r.FormValue("span")
		for _, span := range history.Spans {
			if asked == span.Name || asked == "" {
				answer(w, source.Status(r, span))
				return
			}
		}
		http.Error(w, "span is hour, day or month", http.StatusBadRequest)
	})
	get("/message.json", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseUint(r.FormValue("n"), 10, 64)
		if err != nil {
			http.Error(w, "n is the number of a message in status.json", http.StatusBadRequest)
			return
		}
		m := source.Message(n)
		if m == nil {
			http.Error(w, "that message is not kept any more", http.StatusNotFound)
			return
		}
		answer(w, m)
	})
	get("/config.toml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(source.Config())
	})
}

// file serves one of the page's files. A browser that has it asks whether it is still
// the same.
func file(name string) http.HandlerFunc {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		panic(err) // it is not in the program
	}
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Type", types[name])
		head.Set("Cache-Control", "no-cache")
		head.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(text)
	}
}

func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}
