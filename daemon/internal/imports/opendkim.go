package imports

import (
	"strings"
)

// opendkimNeedless are about how OpenDKIM runs, or what is always so here.
var opendkimNeedless = wordsOf(`Syslog SyslogSuccess SyslogFacility SyslogName LogWhy LogResults UserID UMask PidFile Background BaseDirectory
	AutoRestart AutoRestartCount AutoRestartRate ChangeRootDirectory EnableCoreDumps TemporaryDirectory TrustAnchorFile ResolverConfiguration
	RequireSafeKeys AlwaysAddARHeader AddAllSignatureResults ExternalIgnoreList MilterDebug DNSTimeout KeepTemporaryFiles
	SoftwareHeader MinimumKeyBits MaximumHeaders LDAPUseTLS StrictTestMode CaptureUnknownErrors DisableCryptoInit NoHeaderB TestDNSData
	UnboundConfigFile DomainKeysCompat ADSPNoSuchDomain ResignAll Statistics WeakSyntaxChecks FixCRLF`)

// opendkimWhy says of settings without a counterpart why.
var opendkimWhy = map[string]string{
	"macrolist":             `say in when whose mail is signed: when = 'macro("daemon_name") == "ORIGINATING"', with sign = "all"`,
	"dontsignmailto":        "say in when of dkim-sign whose mail is not signed",
	"exemptdomains":         "say in when of dkim-verify whose mail is not looked at",
	"signaturettl":          "signatures do not expire: mail that was long on its way is not forged",
	"bodylengths":           "the whole body is signed",
	"bodylengthdb":          "the whole body is signed",
	"diagnostics":           "there is no z= in signatures",
	"omitheaders":           "headers names those that are signed",
	"identity":              "there is no i= but the domain's",
	"identityheader":        "there is no i= but the domain's",
	"senderheaders":         "the author is the address in From, which DMARC looks at",
	"sendreports":           "no reports are sent",
	"requestreports":        "no reports are asked for",
	"reportaddress":         "no reports are sent",
	"reportbccaddress":      "no reports are sent",
	"authservidwithjobid":   "the name in Authentication-Results is authserv_id alone",
	"multiplesignatures":    "a domain with several keys always has a signature of each; of a signing_table the lines with the first pattern that fits count",
	"removeoldsignatures":   "signatures that a message has stay",
	"atpsdomains":           "RFC 6541 is not looked at",
	"querycache":            "look-ups are remembered as their records allow",
	"include":               "that file is not read: put what stands in it in the place of this line",
	"quarantine":            "policies of dkim-verify can hold mail, by domain",
	"removearall":           "only fields Authentication-Results that bear authserv_id are removed",
	"removearfrom":          "only fields Authentication-Results that bear authserv_id are removed",
	"adspaction":            "ADSP is historic; what DMARC says of the domain is done by dmarc",
	"vbr-type":              "there is no VBR",
	"vbr-certifiers":        "there is no VBR",
	"vbr-trustedcertifiers": "there is no VBR",
	"redirectfailuresto":    "mail is not sent elsewhere; policies can refuse or hold it",
}

// readOpenDKIM reads opendkim.conf.
func readOpenDKIM(s *service) {
	f := &opendkim{service: s, mode: "sv"}
	f.verify = &milter{name: "dkim-verify", use: "dkim-verify", kind: OpenDKIM, from: "opendkim, " + s.file.Name}
	f.sign = &milter{name: "dkim-sign", use: "dkim-sign", kind: OpenDKIM, from: f.verify.from, last: true}
	for _, set := range settingsOf(s.file.Text, "", false) {
		f.setting(set)
	}
	if strings.Contains(f.mode, "v") {
		own := not(atom("local"))
		if nets := f.internal.foreign(); len(nets) > 0 {
			own = both(own, not(inNetworks(nets)))
		}
		f.verify.when = both(f.verify.when, both(not(atom("authenticated")), own))
		s.natives = append(s.natives, f.verify)
	}
	if strings.Contains(f.mode, "s") {
		f.signing()
	}
}

type opendkim struct {
	*service
	verify, sign     *milter
	mode             string
	domains          []string
	selector, key    string
	domainSet        setting
	keyTable, tables string
	subdomains       bool
	internal         hosts
	internalSet      bool
}

// signing makes dkim-sign, where there is a key.
func (f *opendkim) signing() {
	if f.internalSet {
		if networks := narrowed(f.internal.networks); len(networks) > 0 {
			f.sign.option("networks", list(texts(networks)))
		}
	}
	switch {
	case f.tables != "" && f.keyTable != "":
		f.sign.option("key_table", text(f.keyTable))
		f.sign.option("signing_table", text(f.tables))
		f.paths = append(f.paths, f.keyTable, strings.TrimPrefix(f.tables, "refile:"))
		f.paths = append(f.paths, f.keys()...)
	case len(f.domains) > 0 && f.key != "" && f.selector != "":
		for _, d := range f.domains {
			t := table{name: "key", entries: []entry{{"domain", text(d)}, {"selector", text(f.selector)}, {"file", text(f.key)}}}
			if f.subdomains {
				t.entries = append(t.entries, entry{"subdomains", "true"})
			}
			f.sign.tables = append(f.sign.tables, t)
		}
		f.paths = append(f.paths, f.key)
	default:
		if f.domainSet.line > 0 {
			f.none(f.domainSet, "it needs Domain, Selector and KeyFile, or KeyTable and SigningTable, to sign; there is no dkim-sign")
		} else {
			f.note("nothing is signed: there is neither Domain, Selector and KeyFile, nor KeyTable and SigningTable")
		}
		return
	}
	f.sign.key("default_action", text("tempfail")) // what cannot be signed now goes out later
	f.natives = append(f.natives, f.sign)
}

// keys are the files with the private keys that the KeyTable names: NAME
// DOMAIN:SELECTOR:FILE.
func (f *opendkim) keys() []string {
	table, ok := f.readFile(f.keyTable)
	if !ok {
		return []string{"the private keys that " + f.keyTable + " names"}
	}
	var files []string
	for _, set := range settingsOf(table, "", false) {
		parts := strings.SplitN(set.value, ":", 3)
		if len(parts) == 3 && strings.HasPrefix(parts[2], "/") {
			files = append(files, parts[2])
			continue
		}
		f.findings = append(f.findings, Finding{f.keyTable, set.line, set.key, "a key is a file here: NAME DOMAIN:SELECTOR:/PATH"})
	}
	return files
}

func (f *opendkim) setting(set setting) {
	key := strings.ToLower(set.key)
	switch key {
	case "socket":
		f.listens(set)
	case "mode":
		f.mode = strings.ToLower(set.value)
		if strings.Trim(f.mode, "sv") != "" || f.mode == "" {
			f.none(set, "there are s, v and sv; it is sv")
			f.mode = "sv"
		}
	case "domain", "selector", "keyfile":
		f.simple(key, set)
	case "keytable", "signingtable":
		f.table(key, set)
	case "subdomains":
		f.subdomains = set.is()
	case "internalhosts":
		f.hosts(set)
	case "peerlist":
		h, missing := f.hostsOf(set.value)
		if missing != "" || len(h.others) > 0 {
			f.none(set, "a list of networks; say in when which mail is passed by")
		}
		if len(h.networks) > 0 {
			f.verify.when = both(f.verify.when, not(inNetworks(h.networks)))
			f.sign.when = both(f.sign.when, not(inNetworks(h.networks)))
		}
	case "authservid":
		if !strings.EqualFold(set.value, "HOSTNAME") {
			f.verify.option("authserv_id", text(set.value))
		}
	case "maximumsignaturestoverify":
		if d, ok := durationOf(set.value); ok && d > 0 {
			f.verify.option("max_signatures", number(int(d.Seconds())))
		} else {
			f.none(set, "this is no number of signatures; it is 5")
		}
	case "oversignheaders", "signheaders":
		f.fields(key, set)
	case "canonicalization":
		if !strings.EqualFold(set.value, "relaxed/relaxed") {
			f.none(set, "signatures are relaxed/relaxed, which breaks least on the way")
		}
	case "signaturealgorithm":
		if strings.EqualFold(set.value, "rsa-sha1") {
			f.none(set, "SHA-1 is not used (RFC 8301)")
		}
	case "nameservers":
		f.nameserver(set)
	default:
		f.other(key, set)
	}
}

// other tells of settings without a counterpart.
func (f *opendkim) other(key string, set setting) {
	switch why := opendkimWhy[key]; {
	case opendkimNeedless[key]:
	case why != "":
		switch strings.ToLower(set.value) {
		case "no", "false", "0", "off":
			return
		}
		f.none(set, why)
	case strings.HasPrefix(key, "on-"):
		if !strings.EqualFold(set.value, "accept") {
			f.none(set, "policies of dkim-verify say, by domain, what becomes of mail without a good signature")
		}
	default:
		f.none(set, "OpenDKIM has no such setting that is known here")
	}
}

// simple takes in the one key.
func (f *opendkim) simple(key string, set setting) {
	f.domainSet = set
	switch key {
	case "domain":
		if strings.HasPrefix(set.value, "/") || strings.Contains(set.value, ":") {
			f.none(set, "domains are named one by one, each with its key")
			return
		}
		f.domains = set.list()
	case "selector":
		f.selector = set.value
	case "keyfile":
		f.key = set.value
	}
}

// table takes in the name of a table.
func (f *opendkim) table(key string, set setting) {
	kind, file, found := strings.Cut(set.value, ":")
	if !found {
		kind, file = "file", set.value
	}
	f.domainSet = set
	switch {
	case kind != "file" && kind != "refile" || !strings.HasPrefix(file, "/"):
		f.none(set, "tables are files here; databases and lists in the setting are not read")
	case key == "keytable":
		f.keyTable = file
	case kind == "refile":
		f.tables = "refile:" + file
	default:
		f.tables = file
	}
}

// hosts takes in whose mail is signed and not verified.
func (f *opendkim) hosts(set setting) {
	h, missing := f.hostsOf(set.value)
	switch {
	case missing != "":
		f.none(set, "the file cannot be read; write its networks into networks of dkim-sign, and into when of dkim-verify")
		return
	case len(h.others) > 0:
		f.none(set, "names are not looked up, write networks in place of: "+strings.Join(h.others, ", "))
	}
	f.internal, f.internalSet = h, true
}

// fields takes in lists of header fields.
func (f *opendkim) fields(key string, set setting) {
	names := set.list()
	for _, n := range names {
		if strings.ContainsAny(n, "*+") || strings.HasPrefix(n, "-") {
			f.none(set, "headers and oversign name each field, without + and asterisks")
			return
		}
	}
	if key == "oversignheaders" {
		f.sign.option("oversign", list(names))
	} else {
		f.sign.option("headers", list(names))
	}
}

// nameserver takes in the first name server.
func (f *opendkim) nameserver(set setting) {
	servers := set.list()
	if len(servers) == 0 {
		return
	}
	p, ok := prefixOf(servers[0])
	if !ok {
		f.none(set, "this is no address of a name server")
		return
	}
	host := p.Addr().String()
	if p.Addr().Is6() {
		host = "[" + host + "]"
	}
	f.verify.option("nameserver", text(host+":53"))
	if len(servers) > 1 {
		f.none(set, "one name server is asked, the first; without nameserver, all those of the system")
	}
}
