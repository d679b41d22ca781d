package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/daemon/internal/config"
)

// A writer is a milter that writes Authentication-Results, under a name.
type writer struct {
	*member
	id  string
	set func(id string) Mend
}

// Authserv looks whether those who write Authentication-Results, and those who go by
// them, agree on the name. P is the mail server, whose name counts where no other is
// set; nil where it is not known.
func (r *Report) Authserv(root string, c *config.Config, p *Postfix) {
	mta := hostName()
	if p != nil {
		mta = p.value(nil, "myhostname")
	}
	list := members(root, c)
	var writers []writer
	var dmarc []*member
	for i := range list {
		m := &list[i]
		if m.role&(checksSPF|checksDKIM) != 0 {
			if w, ok := writerOf(c, m, mta); ok {
				writers = append(writers, w)
			}
		}
		if m.role&checksDMARC != 0 && (m.Use.V != "" || m.filter != nil) {
			dmarc = append(dmarc, m)
		}
	}
	before := len(r.Findings)
	for _, d := range dmarc {
		r.trust(c, d, writers, mta)
	}
	if len(dmarc) == 0 {
		r.agree(writers)
	}
	if len(writers) > 1 && len(r.Findings) == before {
		r.right("milterkit", "all Authentication-Results are in the name of %s", writers[0].id)
	}
}

// writerOf returns what a milter calls itself, where that can be known.
func writerOf(c *config.Config, m *member, mta string) (writer, bool) {
	if m.Use.V != "" {
		id := option(m.Milter, "authserv_id")
		if id == "" {
			id = mta
		}
		return writer{m, id, func(id string) Mend { return optionKey(c, m.Milter, "authserv_id = %q", id) }}, true
	}
	if m.filter == nil {
		return writer{}, false
	}
	key := "AuthservID"
	if m.kind == "pyspf-milter" {
		key = "Authserv_Id"
	}
	return writer{m, idOf(m.filter.settings[strings.ToLower(key)], mta), func(id string) Mend {
		line := key + " " + id
		if m.kind == "pyspf-milter" {
			line = key + " = " + id
		}
		return Mend{File: m.filter.file, Line: line}
	}}, true
}

// idOf is the name that a filter's setting stands for. Source: opendkim.conf(5).
func idOf(set, mta string) string {
	switch set {
	case "":
		return mta
	case "HOSTNAME":
		return hostName()
	}
	return set
}

// trust looks whether a DMARC filter believes those before it.
func (r *Report) trust(c *config.Config, d *member, writers []writer, mta string) {
	var trusted []string
	if d.Use.V != "" {
		id := option(d.Milter, "authserv_id")
		trusted = []string{idOf(id, mta)}
	} else {
		for id := range strings.FieldsFuncSeq(d.filter.settings["trustedauthservids"], func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }) {
			trusted = append(trusted, idOf(id, mta))
		}
		if len(trusted) == 0 {
			trusted = []string{idOf(d.filter.settings["authservid"], mta)}
		}
	}
	for _, w := range writers {
		if slices.ContainsFunc(trusted, func(id string) bool { return strings.EqualFold(id, w.id) }) {
			continue
		}
		f := Finding{Rule: "authserv-id", About: d.Name.V, Message: fmt.Sprintf("%s goes by Authentication-Results of %s, and %s writes them as %s: DMARC fails for what has passed",
			d.Name.V, strings.Join(trusted, ", "), w.Name.V, w.id)}
		if d.Use.V != "" {
			f.Message = strings.TrimSuffix(f.Message, ": DMARC fails for what has passed") + ", so they do not count"
			f.Mend = []Mend{w.set(trusted[0])}
		} else {
			trusted = append(trusted, w.id)
			f.Mend = []Mend{{File: d.filter.file, Line: "TrustedAuthservIDs " + strings.Join(trusted, ",")}}
		}
		r.wrong(f)
	}
}

// agree looks whether all call themselves alike.
func (r *Report) agree(writers []writer) {
	for _, w := range writers[min(1, len(writers)):] {
		if first := writers[0]; !strings.EqualFold(w.id, first.id) {
			r.wrong(Finding{"authserv-id", w.Name.V, fmt.Sprintf("%s writes Authentication-Results as %s, and %s as %s: who reads them goes by one name",
				w.Name.V, w.id, first.Name.V, first.id), []Mend{w.set(first.id)}})
		}
	}
}
