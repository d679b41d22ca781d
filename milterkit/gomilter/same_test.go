package gomilter_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"

	"github.com/milterkit/sdk/milterkit/gomilter"
	. "github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
)

// same plays sessions past a filter in the process and past the same filter on a
// socket of its own, and wants all that a user notices to be the same. It returns
// that.
func same(t *testing.T, server func() *milter.Server, sessions ...[]Mail) string {
	t.Helper()
	play := func(r *rig) string {
		t.Helper()
		var told strings.Builder
		for _, mails := range sessions {
			told.WriteString(r.play(mails...))
		}
		return told.String()
	}
	got := play(inProcess(t, &gomilter.Child{Label: "child", Server: server()}))
	if diff := cmp.Diff(play(onSocket(t, server())), got); diff != "" {
		t.Errorf("on its socket (-), in the process (+):\n%s", diff)
	}
	return got
}

func TestSameAsOnASocket(t *testing.T) {
	t.Parallel()
	withProtocol := func(p milter.OptProtocol, newFilter func() milter.Milter) func() *milter.Server {
		return func() *milter.Server {
			s := serving(newFilter)
			s.Protocol = p
			return s
		}
	}
	newLetterhead := func() milter.Milter { return &letterhead{} }
	for _, test := range []struct {
		name   string
		server func() *milter.Server
		want   []string // among what a user notices
	}{
		{"edits", withProtocol(0, newLetterhead), []string{
			"X-First: yes", "Subject: changed\n and folded", `X-Seen: 4B2 "mx.example.org tcp4 2525 192.0.2.1" 5 fields, 200 bytes`,
			`X-Seen: 4B2 "" 5 fields, 200 bytes`, // the filter that go-milter makes for the next message was told of no client
			"{<new@example.org> [] [<nobody@example.net> <c@example.net> <d@example.net>]}", "new text"}},
		{"no body wanted", withProtocol(milter.OptNoBody|milter.OptNoHelo|milter.OptNoHeaders, newLetterhead), []string{"0 fields, 0 bytes"}},
		{"no such user", withProtocol(0, func() milter.Milter { return doorman{} }), []string{"refused [<nobody@example.net>]", "550 5.1.1 here"}},
		{"quarantine", withProtocol(0, func() milter.Milter { return &jailer{} }), []string{`held true "a stranger"`, `held false ""`}},
		{"no replies", withProtocol(noReplies, func() milter.Milter { return &silent{} }), []string{"X-Subject-Was: hello"}},
		{"leading space", withProtocol(milter.OptHeaderLeadingSpace, func() milter.Milter { return &scripted{} }), []string{"header(Subject:  hello"}},
		{"macro lists", func() *milter.Server {
			s := serving(func() milter.Milter { return &scripted{} })
			s.Actions |= milter.OptSetSymList
			s.SymList = map[milter.Stage][]string{milter.StageMailFrom: {"{mail_addr}", "{mail_host}"}, milter.StageEOM: {"i"}}
			return s
		}, []string{"mail(bad@example.org, 2 macros)", "end of message(200 bytes so far, 1 macros)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			broken := mailFrom("a@example.org")
			broken.AbortAt = wire.CmdData
			got := same(t, test.server,
				[]Mail{mailFrom("a@example.org"), mailFrom("bad@example.org"), mailFrom("a@example.org")},
				[]Mail{broken, long("a@example.org"), {From: "<>", To: []Recipient{{Addr: "<b@example.net>"}}}})
			for _, w := range test.want {
				if !strings.Contains(got, w) {
					t.Errorf("there is no %q in\n%.5000s", w, got)
				}
			}
		})
	}
}

// At each stage each verdict, error and panic, and two messages of the same session
// after it, come out as on a socket.
func TestSameAtEachStage(t *testing.T) {
	t.Parallel()
	for deed, do := range deeds {
		for _, at := range stages {
			t.Run(deed+" at "+at, func(t *testing.T) {
				t.Parallel()
				same(t, func() *milter.Server {
					return serving(func() milter.Milter { return &scripted{at: at, do: do} })
				}, []Mail{mailFrom("a@example.org"), mailFrom("bad@example.org"), mailFrom("a@example.org"), long("bad@example.org"), mailFrom("a@example.org")})
			})
		}
	}
}

// Sessions at the same time do not get in each other's way.
func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	newFilter := func() milter.Milter { return &letterhead{} }
	want := onSocket(t, serving(newFilter)).play(mailFrom("a@example.org"), long("b@example.org"))
	r := inProcess(t, &gomilter.Child{Server: serving(newFilter)})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				if diff := cmp.Diff(want, r.play(mailFrom("a@example.org"), long("b@example.org"))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	all.Wait()
}
