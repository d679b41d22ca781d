package when

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"github.com/expr-lang/expr"
	"pgregory.net/rapid"

	"github.com/milterkit/sdk/builtin/conditions"
	"github.com/milterkit/sdk/builtin/s25r"
	"github.com/milterkit/sdk/milterkit"
)

// The language is a part of expr's: what expr itself makes of a condition is what we
// do.
func TestConditionsMeanWhatTheyDoInExpr(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := drawCondition(r, 3)
		sessions := rapid.SampledFrom([]int{0, 7, 70}).Draw(r, "sessions")
		env := &Env{Sessions: func() int { return sessions }, Stress: func() int { return 50 }}
		c := mustCompileIn(t, env, text)
		c.At = rcpt
		s := drawSample(r)
		s.to = s.to[:1]
		differs := ""
		s.play(t, milterkit.Condition{Name: "both", At: rcpt, Macros: c.Macros, Holds: func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) bool {
			got, want := c.Holds(ctx, e, to), inExpr(t, text, e, to, sessions)
			if got != want {
				differs = fmt.Sprintf("is %v, in expr it is %v", got, want)
			}
			return got
		}})
		if differs != "" {
			r.Fatalf("%s\n%s, for %+v", text, differs, s)
		}
	})
}

var domains = regexp.MustCompile(`\b(mail_from|rcpt_to)\.domain`)

// inExpr asks expr.
func inExpr(t testing.TB, text string, e *milterkit.Envelope, to milterkit.Address, sessions int) bool {
	_, s25r := s25r.Default.EndUser(e.Session)
	env := map[string]any{
		"authenticated": e.Macro("auth_authen") != "", "local": conditions.Local().Holds(context.Background(), e, to), "s25r": s25r,
		"stress": sessions >= 50, "sessions": sessions, "client": map[string]string{"addr": clientAddr(e.Session), "name": clientName(e.Session)}, "helo": e.Helo,
		"mail_from": e.Sender.Addr, "rcpt_to": to.Addr, "mail_from_domain": e.Sender.Domain(), "rcpt_to_domain": to.Domain(),
		"macro": func(name string) string { return e.Macro(name) },
		"cidr": func(text string, networks ...string) bool {
			addr, ok := conditions.ParseAddr(text)
			for _, n := range networks {
				p, err := conditions.ParseNetwork(n)
				if err != nil {
					t.Fatal(err)
				}
				if ok && p.Contains(addr) {
					return true
				}
			}
			return false
		},
	}
	result, err := expr.Eval(domains.ReplaceAllString(text, "${1}_domain"), env)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return result.(bool)
}
