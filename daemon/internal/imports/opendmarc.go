package imports

import "strings"

var opendmarcNeedless = wordsOf(`PidFile PublicSuffixList Syslog SyslogFacility UMask UserID BaseDirectory Background AutoRestart AutoRestartCount
	AutoRestartRate ChangeRootDirectory EnableCoredumps MilterDebug TemporaryDirectory AuthservIDWithJobID DNSTimeout IgnoreAuthenticatedClients
	SPFSelfValidate RecordAllMessages SyslogSuccess DomainWhitelistSize`)

// readOpenDMARC reads opendmarc.conf.
func readOpenDMARC(s *service) {
	f := &opendmarc{service: s, milter: s.native("dmarc")}
	for _, set := range settingsOf(s.file.Text, "", false) {
		f.setting(set)
	}
	action := func(on bool, action string) string {
		if on {
			return text(action)
		}
		return text("none")
	}
	f.option("reject", action(f.rejects, "reject"))
	f.option("quarantine", action(f.holds, "quarantine"))
	f.option("temperror", action(f.rejects, "tempfail"))
	f.option("bad_from", action(f.multi, "reject"))
	if nets := f.skip.foreign(); len(nets) > 0 {
		f.option("skip", list(texts(nets)))
	}
	for _, id := range f.trusted {
		if !strings.EqualFold(id, "HOSTNAME") && !strings.EqualFold(id, f.id) {
			s.none(f.trustedSet, "results count that filters before this one have added under authserv_id; "+id+" is another name")
		}
	}
	if len(f.exempt) > 0 {
		t := table{name: "policies"}
		for _, d := range f.exempt {
			set(&t.entries, text(d), text("none"))
		}
		f.option("policies", inlineTable(t))
	}
}

// inlineTable is a table on one line.
func inlineTable(t table) string {
	var parts []string
	for _, e := range t.entries {
		parts = append(parts, e.key+" = "+e.value)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

type opendmarc struct {
	*service
	*milter
	rejects, holds, multi bool
	id                    string
	trusted               []string
	trustedSet            setting
	skip                  hosts
	exempt                []string // domains
}

func (f *opendmarc) setting(set setting) {
	switch key := strings.ToLower(set.key); key {
	case "socket":
		f.listens(set)
	case "authservid":
		if !strings.EqualFold(set.value, "HOSTNAME") {
			f.id = set.value
			f.option("authserv_id", text(set.value))
		}
	case "trustedauthservids":
		f.trusted, f.trustedSet = set.list(), set
	case "rejectfailures":
		f.rejects = set.is()
	case "holdquarantinedmessages":
		f.holds = set.is()
	case "rejectmultivaluefrom":
		f.multi = set.is()
	case "ignorehosts":
		h, missing := f.hostsOf(set.value)
		switch {
		case missing != "":
			f.none(set, "the file cannot be read; write its networks into skip")
		case len(h.others) > 0:
			f.none(set, "this is no network: "+strings.Join(h.others, ", "))
		}
		f.skip.networks = append(f.skip.networks, h.networks...)
	case "ignoremailfrom":
		f.exempt = set.list()
	case "failurereports", "requiredheaders", "softwareheader", "spfignoreresults", "failurereportsonnone", "spfignoreselfvalidate":
		if set.is() {
			f.none(set, map[string]string{"requiredheaders": "what is wrong with a header is no matter of DMARC, but for From",
				"softwareheader": "there is no field DMARC-Filter", "spfignoreresults": "SPF is checked where no filter before has told its result",
			}[key]+reports(key))
		}
	case "include":
		f.none(set, "that file is not read: put what stands in it in the place of this line")
	case "historyfile", "reportcommand", "copyfailuresto", "failurereportssentby", "failurereportsbcc", "failurereportskeyfile":
		f.none(set, "no reports are sent")
	case "domainwhitelist", "domainwhitelistfile":
		f.none(set, "there is no ARC; policies has actions by the author's domain")
	default:
		if !opendmarcNeedless[key] {
			f.none(set, "OpenDMARC has no such setting that is known here")
		}
	}
}

func reports(key string) string {
	if strings.HasPrefix(key, "failurereports") {
		return "no reports are sent"
	}
	return ""
}
