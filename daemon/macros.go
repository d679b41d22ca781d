package daemon

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
	"github.com/milterkit/sdk/daemon/internal/when"
	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/remote"
)

// macrosOf returns what a milter on a socket is sent besides the macros of the MTA:
// those of its section [milter.macros], and before them the ones of Sendmail's that it
// does not name itself.
func macrosOf(known *when.Env, m config.Milter) ([]remote.Macro, error) {
	var own []remote.Macro
	for _, macro := range m.Macros {
		made, err := ownMacro(known, macro)
		if err != nil {
			return nil, err
		}
		own = append(own, made)
	}
	if !m.SendmailMacros.V {
		return own, nil
	}
	all := slices.DeleteFunc(sendmailMacros(), func(s remote.Macro) bool {
		return slices.ContainsFunc(own, func(o remote.Macro) bool { return o.Name == s.Name && o.At == s.At })
	})
	return append(all, own...), nil
}

// ownMacro makes a macro of a line of [milter.macros]. It is sent at the stage at which
// MTAs send it, at connect where none does, and not before its condition is settled.
func ownMacro(known *when.Env, macro config.Macro) (remote.Macro, error) {
	condition, err := compile(known, macro.When, nil)
	if err != nil {
		return remote.Macro{}, err
	}
	at, ok := when.Told(strings.Trim(macro.Name, "{}"))
	switch {
	case macro.Name == "i":
		at = milterkit.StageMail // where Sendmail first has one
	case !ok:
		at = milterkit.StageConnect
	}
	return remote.Macro{
		Name:  macro.Name,
		At:    max(at, condition.At),
		Needs: condition.Macros,
		Value: func(ctx context.Context, e *milterkit.Envelope, to milterkit.Address) (string, bool) {
			switch {
			case condition.Holds == nil || condition.Holds(ctx, e, to):
				return macro.Value, true
			case macro.Otherwise != nil:
				return *macro.Otherwise, true
			}
			return "", false
		},
	}, nil
}

// fromPostfix wraps a value that is made of what Postfix says, where the MTA is Postfix
// and does not send the macro itself.
func fromPostfix(name string, value func(*milterkit.Session) string) func(context.Context, *milterkit.Envelope, milterkit.Address) (string, bool) {
	return func(_ context.Context, e *milterkit.Envelope, _ milterkit.Address) (string, bool) {
		if !strings.HasPrefix(e.Macro("v"), "Postfix") || e.Macro(name) != "" {
			return "", false
		}
		v := value(e.Session)
		return v, v != ""
	}
}

// noQueueID stands for a queue ID where Postfix has none yet, which is what its log
// calls that.
const noQueueID = "NOQUEUE"

// sendmailMacros are macros that filters made for Sendmail look at, and that Postfix
// does not send by these names, or not that early. ({daemon_port} is Postfix's own, and
// asked for in any case.)
func sendmailMacros() []remote.Macro {
	needs := map[milterkit.Stage][]string{milterkit.StageConnect: {"v", "j", "{daemon_addr}", "{daemon_port}"}}
	return []remote.Macro{
		{Name: "{if_addr}", At: milterkit.StageConnect, Needs: needs, Value: fromPostfix("if_addr", ifAddr)},
		{Name: "{if_name}", At: milterkit.StageConnect, Value: fromPostfix("if_name", ifName)},
		{Name: "i", At: milterkit.StageMail, Value: fromPostfix("i", func(*milterkit.Session) string { return noQueueID })},
	}
}

// ifAddr is the address to which the client has connected, as Sendmail has it: none of
// loopback, and those of IPv6 in full.
func ifAddr(s *milterkit.Session) string {
	addr, loopback := daemonAddr(s)
	switch {
	case !addr.IsValid() || loopback:
		return ""
	case addr.Is4():
		return addr.String()
	}
	long := []byte("IPv6")
	for i, b := 0, addr.As16(); i < len(b); i += 2 {
		long = strconv.AppendUint(append(long, ':'), uint64(b[i])<<8|uint64(b[i+1]), 16)
	}
	return string(long)
}

// ifName is the name of that address: the one by which Postfix calls itself. Sendmail
// asks the DNS, which comes to the same where that is in order.
func ifName(s *milterkit.Session) string {
	if _, loopback := daemonAddr(s); loopback {
		return "localhost"
	}
	return s.MTAName()
}

// daemonAddr is the address to which the client has connected, as Postfix tells it from
// 3.2 on.
func daemonAddr(s *milterkit.Session) (addr netip.Addr, loopback bool) {
	addr, _ = netip.ParseAddr(s.Macro("daemon_addr"))
	addr = addr.Unmap().WithZone("")
	return addr, addr.IsLoopback()
}
