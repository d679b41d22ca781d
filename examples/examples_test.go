// Package examples_test holds the examples to what they promise: they are short, have a
// page, stand in the list, and run.
package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// examples returns the names of the examples' folders.
func examples(t *testing.T) []string {
	mains, err := filepath.Glob("*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	for i, m := range mains {
		mains[i] = filepath.Dir(m)
	}
	return mains
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each main is short, and has a test and a page that tells how to run it and stands in the list.
func TestShape(t *testing.T) {
	list := read(t, "../docs/examples.md")
	for _, name := range examples(t) {
		if n := strings.Count(read(t, name+"/main.go"), "\n"); n >= 60 {
			t.Errorf("%s/main.go has %d lines, want less than 60", name, n)
		}
		if !strings.Contains(read(t, name+"/main_test.go"), "miltertest.") {
			t.Errorf("%s/main_test.go does not use miltertest", name)
		}
		page := read(t, name+"/README.md")
		if n := strings.Count(page, "\n"); n < 20 || n > 40 {
			t.Errorf("%s/README.md has %d lines, want 20 to 40", name, n)
		}
		if run := "go run -C examples ./" + name; !strings.Contains(page, run) {
			t.Errorf("%s/README.md does not say %s", name, run)
		}
		if link := "(../examples/" + name + "/README.md)"; strings.Count(list, link) != 1 {
			t.Errorf("docs/examples.md has %d links %s, want 1", strings.Count(list, link), link)
		}
	}
}

// arguments are those that an example needs to run in a test, besides where to listen.
var arguments = map[string][]string{
	"archive":     {"-dir", "."},
	"metrics":     {"-status", "127.0.0.1:0"},
	"policy-http": {"-service", "http://127.0.0.1:1/"},
	"shadow":      {"-status", "127.0.0.1:0"},
	"wrap":        {"-old", "none.sock"},
}

// The program in the page about mail servers builds: its blocks are the files.
func TestEmbeddingBuilds(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "../docs/embedding.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/embedding.md has no program")
	}
	dir, err := os.MkdirTemp(".", ".embedding") // here, so that it is of this module
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for i, b := range blocks {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d.go", i)), []byte(b[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "vet", "./"+dir).CombinedOutput(); err != nil {
		t.Errorf("docs/embedding.md: %v\n%s", err, out)
	}
	if out, err := exec.Command("gofmt", "-l", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: %v %s", err, out)
	}
}

// plain are the examples that listen as package net does: they set up a server themselves.
var plain = map[string]bool{"metrics": true, "shadow": true, "smtp-server": true}

// deferred are the examples that put mail off, as what they ask is not there.
var deferred = map[string]bool{"policy-http": true, "wrap": true}

// Each example runs, and answers.
func TestRun(t *testing.T) {
	bin := t.TempDir() + string(filepath.Separator)
	if out, err := exec.Command("go", "build", "-o", bin, "./...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := start(t, bin+name, plain[name], arguments[name]...)
			if name == "smtp-server" {
				greeting := make([]byte, 100)
				if n, err := conn.Read(greeting); err != nil || !bytes.HasPrefix(greeting, []byte("220 ")) {
					t.Errorf("the greeting is %q, %v", greeting[:n], err)
				}
				return
			}
			want := miltertest.Accepted
			if deferred[name] {
				want = miltertest.TempFailed
			}
			if got := play(t, conn); got != want {
				t.Errorf("a message was %v, want %v", got, want)
			}
		})
	}
}

// start starts a program that is to listen, at an address as package net or as Postfix writes it, and returns a connection to it.
func start(t *testing.T, program string, plain bool, args ...string) net.Conn {
	for range 3 { // the port may have been taken meanwhile
		addr := freeAddr(t)
		listen := addr
		if host, port, _ := net.SplitHostPort(addr); !plain {
			listen = "inet:" + port + "@" + host
		}
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, program, append(args, "-listen", listen)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		t.Cleanup(func() {
			stop()
			<-ended
			if t.Failed() {
				t.Logf("%s", &log)
			}
		})
		if conn := dial(addr, ended); conn != nil {
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(time.Minute))
			return conn
		}
	}
	t.Fatal("it does not listen")
	return nil
}

// freeAddr returns an address on which nobody listens.
func freeAddr(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// dial dials until somebody answers; nil: the program has ended before.
func dial(addr string, ended <-chan struct{}) net.Conn {
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn
		}
		select {
		case <-ended:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// play plays a message, and returns what became of it.
func play(t *testing.T, conn net.Conn) miltertest.Result {
	mta, err := miltertest.New(conn, miltertest.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	p := miltertest.Player{MTA: mta, Client: miltertest.Client{Host: "mx.example.com", Family: wire.FamilyInet6, Addr: "2001:db8::7"}}
	defer p.Close()
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	o, err := p.Mail(miltertest.Mail{
		From:    "<a@example.com>",
		To:      []miltertest.Recipient{{Addr: "<bob@example.org>"}},
		Message: miltertest.ParseMessage([]byte("Subject: hello\nMessage-ID: <1@example.com>\n\nHello Bob.\n")),
	})
	if err != nil {
		t.Fatal(err)
	}
	return o.Result
}
