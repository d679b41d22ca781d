package test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/miltertest"
	"github.com/milterkit/sdk/milterkit/wire"
	"github.com/milterkit/sdk/test/stack"
)

// shadowAt are the commands at which shadows are hostile, one after another.
var shadowAt = []byte{wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData, wire.CmdHeader, wire.CmdEOH, wire.CmdBody, wire.CmdEOM}

// shadowKinds are what shadows do, by their names, in their nth session.
var shadowKinds = map[string]func(n int) miltertest.Answer{
	"rejecting": func(n int) miltertest.Answer {
		return []miltertest.Answer{{Text: "550 5.7.1 shadow"}, {Verdict: miltertest.TempFail}, {Verdict: miltertest.Discard}, {Text: "421 4.7.0 shadow"}}[n%4]
	},
	"hanging": func(int) miltertest.Answer { return miltertest.Answer{Hang: true} },
	"crashing": func(n int) miltertest.Answer {
		return []miltertest.Answer{{Close: true}, {Raw: []byte("\xff\xff\xff\xffgarbage")}}[n%2]
	},
	"editing": func(int) miltertest.Answer {
		return miltertest.Answer{Edits: []miltertest.Edit{
			{Code: wire.RepAddHeader, Name: "X-Shadow", Value: " was here"}, {Code: wire.RepInsHeader, Name: "X-Shadow", Value: " on top"},
			{Code: wire.RepChgHeader, Index: 1, Name: "Subject", Value: " shadow"}, {Code: wire.RepChgHeader, Index: 1, Name: "From"},
			{Code: wire.RepChgFrom, Name: "<shadow@example.org>"}, {Code: wire.RepAddRcpt, Name: "<" + carol + ">"},
			{Code: wire.RepDelRcpt, Name: "<" + bob + ">"}, {Code: wire.RepQuarantine, Value: "shadow"}, {Code: wire.RepReplaceBody, Body: "shadow\r\n"},
		}}
	},
}

// shadowScript is the script of a kind of shadow for its nth session.
func shadowScript(kind string, n int) miltertest.Script {
	at := shadowAt[n/4%len(shadowAt)]
	if kind == "editing" {
		at = wire.CmdEOM
	}
	return miltertest.Script{Actions: wire.AllActions &^ wire.ActSetMacros, On: map[byte][]miltertest.Answer{at: {shadowKinds[kind](n)}}}
}

// startShadows starts one shadow of each kind.
func startShadows(t *testing.T, root *stack.Root) (children []stack.Child) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(shadowKinds)) {
		f := &miltertest.Filter{ScriptFor: func(n int) miltertest.Script { return shadowScript(kind, n) }}
		socket, err := f.Start("unix", root.Path(kind+".sock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := os.Chmod(socket, 0o666); err != nil { // milterkit runs as nobody
			t.Fatal(err)
		}
		children = append(children, stack.Child{Name: kind, Socket: "unix:" + socket, Shadow: true, DefaultAction: "reject",
			Terms: "command_timeout = \"100ms\"\ncontent_timeout = \"100ms\""})
	}
	return children
}

// TestShadowsChangeNothing has milters that refuse, edit, hang and crash stand in
// shadow before, between and behind two others, in sequence and together: each reply,
// and each byte of each message, is as without them.
func TestShadowsChangeNothing(t *testing.T) {
	all := start(t)
	if all.kitErr != nil {
		t.Fatal(all.kitErr)
	}
	root, err := stack.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Remove() })
	b := &dkimBench{bench: &bench{root: root, kits: map[string]*stack.Milterkit{}, binary: all.binary, milters: all.milters}}
	b.postfix = &stack.Postfix{Root: root, Mailboxes: mailboxes()}
	shadows, two := startShadows(t, root), []stack.Child{all.child(firstName), all.child(secondName)}
	var haunted []route
	for _, measure := range []route{{name: "alone"}, {name: "alone-together", together: true}} {
		b.addChain(chain{"two", two}, measure)
		for place := range len(two) + 1 {
			r := measure
			r.name = fmt.Sprintf("%s-haunted-%d", measure.name, place)
			b.addChain(chain{"two", slices.Insert(slices.Clone(two), place, shadows...)}, r)
			haunted = append(haunted, r)
		}
	}
	b.startAll(t, nil)
	for measure, scenes := range map[string][]scene{"alone": pairs(), "alone-together": together()} {
		t.Run(measure, func(t *testing.T) {
			for _, s := range scenes {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					want := b.play(t, "two", route{name: measure}, s.talk)
					for _, r := range haunted {
						if strings.HasPrefix(r.name, measure+"-haunted") {
							sameOutcome(t, want, b.play(t, "two", r, s.talk))
						}
					}
				})
			}
		})
	}
	for _, r := range haunted {
		b.wantsShadowsTold(t, "two/"+r.name)
	}
}

// wantsShadowsTold looks whether the log tells what each of the shadows would have done.
func (b *bench) wantsShadowsTold(t *testing.T, listener string) {
	t.Helper()
	lines, err := b.kits[listener].LogOf("msg=message")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		`milters.rejecting="shadow would: reject 550 5.7.1 shadow at `, `milters.rejecting="shadow would: discard at `,
		`milters.hanging="shadow would: fail: `, `milters.crashing="shadow would: fail: `, `milters.editing="shadow would: continue, 9 edits, `,
		`would.editing="add header X-Shadow: was here; insert header X-Shadow: on top; change header Subject: shadow; `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %s in the log, whose last line is\n%s", listener, want, lines[len(lines)-1])
		}
	}
}
