package imports

import "strings"

var pyspfNeedless = wordsOf(`debugLevel PidFile UserID UMask Syslog SyslogFacility SyslogSuccess FileFacility MacroList MacroListVerify Prospective
	Hide_Receiver defaultSeedOnly`)

// readPySPF reads pyspf-milter.conf, and policyd-spf.conf, which is its ancestor's.
func readPySPF(s *service) {
	f := &pyspf{service: s, milter: s.native("spf"), fail: "reject", softfail: "none", helo: "fail", from: "fail"}
	for _, set := range settingsOf(s.file.Text, "=", false) {
		f.setting(set)
	}
	if f.helo == "false" && f.from != "false" {
		f.option("helo", "false")
	} else if rankOfSPF(f.helo) > rankOfSPF(f.from) {
		s.none(f.heloSet, "the HELO name is judged as the sender's domain is")
	}
	if f.from == "false" {
		f.fail = "none"
	}
	if f.tests {
		f.fail, f.softfail = "none", "none"
	}
	f.option("fail", text(f.fail))
	if f.softfail != "none" {
		f.option("softfail", text(f.softfail))
	}
	if !f.tests && f.permerror {
		f.option("permerror", text("reject"))
	}
	if !f.tests && f.temperror {
		f.option("temperror", text("tempfail"))
	}
	if nets := f.skip.foreign(); len(nets) > 0 { // this machine is never checked
		f.option("skip", list(texts(nets)))
	}
}

type pyspf struct {
	*service
	*milter
	fail, softfail       string
	helo, from           string // what is refused, in small letters
	heloSet              setting
	permerror, temperror bool
	tests                bool // only looks
	skip                 hosts
}

// rankOfSPF is how much is refused.
func rankOfSPF(policy string) int {
	return map[string]int{"fail": 1, "softfail": 2, "spf_not_pass": 3}[policy]
}

func (f *pyspf) setting(set setting) {
	switch key := strings.ToLower(set.key); key {
	case "socket":
		f.listens(set)
	case "testonly":
		f.tests = set.value == "0" // 1 is the usual: it means what it says the other way round
	case "helo_reject":
		f.heloSet = set
		f.helo = f.policy(set)
	case "mail_from_reject":
		f.from = f.policy(set)
		if rankOfSPF(f.from) >= 2 {
			f.softfail = "reject"
		}
	case "permerror_reject":
		f.permerror = set.is()
	case "temperror_defer":
		f.temperror = set.is()
	case "skip_addresses", "whitelist", "internalhosts":
		for _, entry := range set.list() {
			f.skip.add(entry)
		}
		if n := len(f.skip.others); n > 0 {
			f.none(set, "this is no network: "+strings.Join(f.skip.others, ", "))
			f.skip.others = nil
		}
	case "authserv_id", "authservid":
		if !strings.EqualFold(set.value, "HOSTNAME") {
			f.option("authserv_id", text(set.value))
		}
	case "header_type":
		if !strings.EqualFold(set.value, "AR") {
			f.none(set, "the result is told in Authentication-Results")
		}
	case "lookup_time", "void_limit":
		if set.value != map[string]string{"lookup_time": "20", "void_limit": "2"}[key] {
			f.none(set, "the values of RFC 7208 are fixed: 20 s, and 2 look-ups that find nothing")
		}
	case "domain_whitelist", "domain_whitelist_ptr", "helo_whitelist":
		f.none(set, `say in when whose mail is not checked, such as when = '!(client.name endsWith ".example.org")'`)
	case "reject_not_pass_domains", "mail_from_pass_restriction", "helo_pass_restriction":
		f.none(set, "what becomes of a message is the same for all domains; dmarc has actions by domain")
	case "reason_message":
		f.none(set, "the reply names the client and the domain, and has the domain's own explanation")
	case "no_mail":
		if set.is() {
			f.none(set, "domains that send no mail are judged as others are")
		}
	default:
		if !pyspfNeedless[key] {
			f.none(set, "pyspf-milter has no such setting that is known here")
		}
	}
}

// policy is what is to be refused, as HELO_reject and Mail_From_reject have it.
func (f *pyspf) policy(set setting) string {
	p := strings.ToLower(set.value)
	switch p {
	case "fail", "softfail", "false":
		return p
	case "spf_not_pass":
		f.none(set, "neutral and none are as good as no record; fail and softfail are refused")
		return p
	case "null": // only of the null sender, of which there is nothing else to check
		return "false"
	case "no_check":
		if strings.EqualFold(set.key, "Mail_From_reject") {
			f.none(set, "it is checked, and nothing is refused for it")
		}
		return "false"
	}
	f.none(set, "there are Fail, Softfail, SPF_Not_Pass, False and No_Check; it is Fail")
	return "fail"
}
