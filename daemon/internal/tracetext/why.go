package tracetext

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/record"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// Why says in sentences why the outcome was what it was: the rule, the milter, its
// reply, the time.
func Why(m *record.Message, o Options) []string {
	list := []string{decision(m, o)}
	list = append(list, refusals(m)...)
	for i := range m.Milters {
		c := &m.Milters[i]
		switch {
		case c.Shadow:
			list = append(list, shadow(c))
		case c.Error != "" && c.Name != m.By:
			list = append(list, passedOver(m, c, o))
		case c.Verdict == "discard" && (c.At == "connect" || c.At == "helo"):
			list = append(list, fmt.Sprintf("%s said discard at %s, where there is no message yet: that does not count.", c.Name, c.At))
		}
	}
	list = append(list, outrun(m)...)
	list = append(list, notAsked(m, o))
	list = append(list, longest(m))
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// decision is the rule by which the outcome came about.
func decision(m *record.Message, o Options) string {
	c := milterOf(m, m.By)
	switch {
	case m.Outcome == "aborted" && m.Rcpts == 0 && m.Refused > 0:
		return "No recipient was left, so the client sent nothing."
	case m.Outcome == "aborted":
		return "The client, or the mail server, ended it before the milters were through: it lost the connection, gave up waiting, or began anew. Nothing was refused because of that."
	case m.Outcome == "accept":
		return "No milter refused it, so the mail server was told to take it."
	case m.Outcome == "quarantine":
		return quarantine(m, o)
	case m.By == "milterkit":
		return ours(m)
	case m.By == "max_sessions":
		return "All places for sessions were taken (max_sessions in [server], or what the descriptors have room for), so milterkit put it off and asked no milter. The client tries again."
	case c != nil && c.Error != "":
		text := fmt.Sprintf("%s failed at %s: %s. When a milter fails, its default_action decides; that of %s is ", m.By, m.At, miltertest.Escape(c.Error), m.By)
		if d, ok := o.milter(m.By); ok && d.DefaultAction == "quarantine" && m.Outcome == "tempfail" {
			return text + "quarantine, which this mail server does not offer, so that the message was put off."
		}
		return text + m.Outcome + "."
	case m.By == "":
		return ""
	}
	return fmt.Sprintf("%s said %s at %s. The first milter in order that says neither continue nor accept decides, and those after it are not asked.",
		m.By, said(m.Outcome, m.Code, m.Reply), m.At)
}

// outrun are the milters that were asked at the same time as the one that decided, and
// said something too.
func outrun(m *record.Message) (list []string) {
	if milterOf(m, m.By) == nil || !ofContent(m.At) {
		return nil
	}
	for i := range m.Steps {
		s := &m.Steps[i]
		says := s.Verdict == "reject" || s.Verdict == "tempfail" || s.Verdict == "discard"
		if c := milterOf(m, s.Milter); says && ofContent(s.At) && s.Milter != m.By && c != nil && !c.Shadow {
			list = append(list, fmt.Sprintf("%s said %s at %s, which does not count: %s stands before it.", s.Milter, said(s.Verdict, s.Code, s.Reply), s.At, m.By))
		}
	}
	return list
}

// ofContent reports whether a stage is about the content, which milters may be shown
// at the same time.
func ofContent(at string) bool {
	return at == "header" || at == "end of header" || at == "body" || at == "end of message"
}

func said(verdict string, code int, text string) string {
	if code == 0 {
		return verdict
	}
	return fmt.Sprintf("%s (%s)", verdict, reply(code, text))
}

// ours is why milterkit itself refuses a message.
func ours(m *record.Message) string {
	switch {
	case m.Code == 552:
		return "milterkit refused it by a limit of its own: " + reply(m.Code, m.Reply) + ". See max_header in [server]."
	case m.Code == 452:
		return "milterkit had no room for it: " + reply(m.Code, m.Reply) + ". See temp_dir and max_memory in [server]."
	case strings.HasPrefix(m.Reply, "4.3.2"):
		return "milterkit cut it short, as it was ending, or the time for all milters together was over (stage_timeout, message_timeout in [server]). The client tries again."
	}
	return "milterkit decided by itself: " + said(m.Outcome, m.Code, m.Reply) + "."
}

// quarantine is who had a message held.
func quarantine(m *record.Message, o Options) string {
	for i := range m.Milters {
		c := &m.Milters[i]
		if c.Shadow {
			continue
		}
		for _, change := range c.Changes {
			if change.Op == "quarantine" {
				return fmt.Sprintf("%s asked the mail server to hold it: %q. A quarantine is not final: the milters after it were asked too.", c.Name, miltertest.Escape(change.Value))
			}
		}
	}
	return "By the default_action of a milter that failed, the mail server was asked to hold it."
}

// refusals are the recipients that milters did not take.
func refusals(m *record.Message) (list []string) {
	const few = 5
	for _, s := range m.Refusals() {
		if s.Verdict == "fail" {
			list = append(list, fmt.Sprintf("%s failed when it was asked about the recipient %s: %s. Its default_action decided for that and all that came after.", s.Milter, address(s.To), miltertest.Escape(s.Error)))
		} else {
			list = append(list, fmt.Sprintf("%s refused the recipient %s: %s. Later milters are not told of it.", s.Milter, address(s.To), said(s.Verdict, s.Code, s.Reply)))
		}
		if len(list) == few && m.Refused > few {
			return append(list, fmt.Sprintf("%d more recipients were refused.", m.Refused-few))
		}
	}
	return list
}

func shadow(c *record.Milter) string {
	would := said(c.Verdict, c.Code, c.Reply)
	if c.Error != "" {
		would = "failed (" + miltertest.Escape(c.Error) + ")"
	}
	return fmt.Sprintf("%s is a shadow and changes nothing; it would have: %s%s.", c.Name, would, plural(c.Edits, ", 1 edit", fmt.Sprintf(", %d edits", c.Edits)))
}

// passedOver is a milter that failed, and whose failure did not decide.
func passedOver(m *record.Message, c *record.Milter, o Options) string {
	if slices.ContainsFunc(m.Refusals(), func(s *record.Step) bool { return s.Milter == c.Name && s.Error != "" }) {
		return "" // that is told
	}
	text := fmt.Sprintf("%s failed at %s: %s.", c.Name, c.At, miltertest.Escape(c.Error))
	d, known := o.milter(c.Name)
	switch {
	case m.Outcome == "aborted" || known && m.Outcome == "quarantine" && d.DefaultAction != "accept" && d.DefaultAction != "quarantine":
		return text
	case known && d.DefaultAction == "quarantine":
		return text + " Its default_action is quarantine: the message went on without it, to be held."
	case known && d.DefaultAction == "accept":
		return text + " Its default_action is accept: the message went on without it."
	}
	return text + " By its default_action the message went on without it."
}

// notAsked are the milters of the configuration that had no part in the message.
func notAsked(m *record.Message, o Options) string {
	var names []string
	for _, c := range o.Milters {
		asked := milterOf(m, c.Name) != nil || slices.ContainsFunc(m.Steps, func(s record.Step) bool { return s.Milter == c.Name })
		if !asked {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 || m.MoreStep > 0 {
		return ""
	}
	return fmt.Sprintf("Not asked at all: %s.", strings.Join(names, ", "))
}

// longest is the milter that took most of the time.
func longest(m *record.Message) string {
	var most *record.Milter
	for i := range m.Milters {
		if most == nil || m.Milters[i].Took > most.Took {
			most = &m.Milters[i]
		}
	}
	if most == nil || m.Took <= 0 || most.Took < m.Took/10 {
		return ""
	}
	return fmt.Sprintf("Of the %s that it took, %s took %s.", span(m.Took), most.Name, span(most.Took))
}
