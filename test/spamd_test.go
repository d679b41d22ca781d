package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/test/stack"
)

// nearSpamd is a spamd that the tests of the native child start, stop and kill.
func (b *bench) nearSpamd() *stack.Spamd { return &stack.Spamd{Root: b.root, Name: "spamd-near"} }

// addSpamds adds the chains with a native child that asks spamd: the one that
// spamass-milter has, the near one, or the near one and then the other.
func (b *bench) addSpamds() {
	far, near := "unix:"+(&stack.Spamd{Root: b.root}).Addr(), "unix:"+b.nearSpamd().Addr()
	for name, addresses := range map[string]string{
		"spamd-far":  fmt.Sprintf("%q", far),
		"spamd-near": fmt.Sprintf("%q", near),
		"spamd-both": fmt.Sprintf("%q, %q", near, far),
	} {
		o := fmt.Sprintf("addresses = [%s]\ntimeout = \"20s\"\nreject_score = 15.0\nsubject = \"[SPAM]\"\n", addresses)
		if name != "spamd-far" {
			o = strings.Replace(o, "20s", "3s", 1)
		}
		b.addChain(chain{name, []stack.Child{{Name: "spamd", Use: "spamd", Options: o}}}, routes[1])
	}
}

// forgedSpam are fields by which a sender says what a spam filter would.
const forgedSpam = "X-Spam-Status: No, says the sender\r\nX-Spam-Flag: NO\r\nx-spam-flag: NO, says the sender\r\nX-Spam-Score: -99\r\n"

// wantVerdict wants a message to be delivered with one verdict, and nothing of the
// sender's own.
func wantVerdict(t *testing.T, o *outcome, verdict string) string {
	t.Helper()
	message := delivered(t, o)
	wantText(t, message, "\nX-Spam-Status: "+verdict)
	wantNoText(t, message, "says the sender", "X-Spam-Score: -99")
	for _, name := range []string{"status", "flag", "score"} {
		if n := strings.Count(strings.ToLower(message), "\nx-spam-"+name+":"); n > 1 {
			t.Errorf("there are %d fields X-Spam-%s:\n%s", n, name, message)
		}
	}
	return message
}

// Spam is refused or marked, other mail says that it is none, and SpamAssassin knows
// who has sent it: it trusts this host, and no other.
func TestSpamd(t *testing.T) {
	run(t, "spamd-far", routes[1:2], []testcase{
		{name: "clean", talk: send(letter("figures", forgedSpam, "Hello.")), check: func(t *testing.T, o *outcome) {
			m := wantVerdict(t, o, "No, score=-1.0 required=5.0 tests=ALL_TRUSTED\n")
			wantText(t, m, "\nX-Spam-Score: -1.0\n", "\nSubject: figures\n")
			wantNoText(t, m, "X-Spam-Flag", "X-Spam-Level")
		}},
		{name: "GTUBE", talk: send(letter("spam", forgedSpam, stack.GTUBE)), check: refused("550 5.7.1 Blocked by SpamAssassin")},
		{name: "spam", talk: send(letter(stack.SpamSubject, forgedSpam, "Hello.")), check: func(t *testing.T, o *outcome) {
			m := wantVerdict(t, o, "Yes, score=6.0 required=5.0 tests=ALL_TRUSTED,MILTERKIT_SPAM\n")
			wantText(t, m, "\nX-Spam-Flag: YES\n", "\nX-Spam-Level: ******\n", "\nSubject: [SPAM] "+stack.SpamSubject+"\n")
		}},
		{name: "from elsewhere", talk: sendFrom("203.0.113.9", alice, letter("figures", "", "Hello.")), check: func(t *testing.T, o *outcome) {
			wantNoText(t, wantVerdict(t, o, "No, score="), "ALL_TRUSTED", "NO_RELAYS", "NO_RECEIVED")
		}},
		{name: "too big", talk: send(letter("big", forgedSpam, strings.Repeat("a line of a long body\r\n", 30000))), check: func(t *testing.T, o *outcome) {
			wantNoText(t, delivered(t, o), "X-Spam", "x-spam")
		}},
	})
}

// SpamAssassin trusts a client that has authenticated, and none that says so in its
// HELO.
func TestSpamdAndAuthenticatedClients(t *testing.T) {
	for name, x := range map[string]struct {
		helo, user string
		trusted    bool
	}{
		"authenticated": {client, "alice", true},
		"says so":       {"x ([127.0.0.1]) (authenticated) by y with ESMTPA id 1;", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			socket := start(t).kits["spamd-far/"+routes[1].name].Socket()
			m, err := miltertest.Dial(t.Context(), "unix", strings.TrimPrefix(socket, "unix:"), miltertest.Offer{})
			if err != nil {
				t.Fatal(err)
			}
			p := &miltertest.Player{MTA: m, Client: miltertest.Client{Host: client, Family: milterkit.FamilyInet, Addr: "203.0.113.9", Port: 50443, Helo: x.helo, MTA: "mx.example.test",
				Known: map[string]string{"auth_authen": x.user}}}
			defer p.Close()
			if _, err := p.Open(); err != nil {
				t.Fatal(err)
			}
			o, err := p.Mail(miltertest.Mail{From: "<" + alice + ">", To: []miltertest.Recipient{{Addr: "<" + bob + ">"}}, Message: miltertest.ParseMessage(letter("figures", "", "Hello."))})
			if err != nil {
				t.Fatal(err)
			}
			if edits := fmt.Sprint(o.Edits); strings.Contains(edits, "ALL_TRUSTED") != x.trusted || strings.Contains(edits, "NO_RELAYS") || !strings.Contains(edits, "X-Spam-Status: No, ") {
				t.Errorf("the edits are %s", edits)
			}
		})
	}
}

// A spamd that is down, hangs or was killed has nothing called clean, and when
// another one is there that is asked.
func TestSpamdInTrouble(t *testing.T) {
	b := start(t)
	near := b.nearSpamd()
	address := "unix:" + near.Addr() + ": "
	wantDeferred(t, "spamd-near", address+"cannot connect: no such file or directory")

	if err := near.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(near.Kill)
	spam := send(letter("spam", "", stack.GTUBE))
	blocked := refused("550 5.7.1 Blocked by SpamAssassin")
	blocked(t, b.play(t, "spamd-near", routes[1], spam))
	syscall.Kill(-near.Pid(), syscall.SIGSTOP)
	wantDeferred(t, "spamd-near", address+"no answer within 3s")
	blocked(t, b.play(t, "spamd-both", routes[1], spam))
	near.Kill()
	awaitClosed(t, near.Addr())
	wantDeferred(t, "spamd-near", address+"cannot connect: connection refused")
	blocked(t, b.play(t, "spamd-both", routes[1], spam))
}
