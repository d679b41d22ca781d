package test

import (
	"bytes"
	"slices"

	"github.com/milterkit/sdk/test/stack"
)

// dmarcRecords are what domains want done with mail that is not theirs.
func dmarcRecords() []string {
	var records []string
	for name, text := range map[string]string{
		"reject":      "v=DMARC1; p=reject",
		"quarantine":  "v=DMARC1; p=quarantine",
		"observe":     "v=DMARC1; p=none",
		"strict":      "v=DMARC1; p=reject; adkim=s; aspf=s",
		"subreject":   "v=DMARC1; p=none; sp=reject",
		"subnone":     "v=DMARC1; p=reject; sp=none",
		"newnone":     "v=DMARC1; p=reject; np=none",
		"newreject":   "v=DMARC1; p=none; np=reject",
		"testing":     "v=DMARC1; p=reject; t=y",
		"percent":     "v=DMARC1; p=reject; pct=0",
		"half":        "v=DMARC1; p=quarantine; pct=100; rua=mailto:reports@half.example; fo=1; ri=86400",
		"nopolicy":    "v=DMARC1; rua=mailto:reports@nopolicy.example",
		"badpolicy":   "v=DMARC1; p=maybe; rua=mailto:reports@badpolicy.example",
		"badonly":     "v=DMARC1; p=maybe",
		"badversion":  "v=DMARC2; p=reject",
		"lowercase":   "v=dmarc1; p=reject",
		"capitals":    "v=DMARC1; P=Reject; ADKIM=S",
		"spaces":      "v = DMARC1 ; p = reject ;",
		"orderly":     "p=reject; v=DMARC1",
		"unknowntag":  "v=DMARC1; p=reject; zz=1",
		"mail.deep":   "v=DMARC1; p=none",
		"deep":        "v=DMARC1; p=reject",
		"newsub.none": "v=DMARC1; p=reject",
	} {
		records = append(records, stack.TXT("_dmarc."+name+".example", text))
	}
	return append(records,
		stack.TXT("_dmarc.twice.example", "v=DMARC1; p=reject"), stack.TXT("_dmarc.twice.example", "v=DMARC1; p=none"),
		stack.TXT("_dmarc.among.example", "some other text"), stack.TXT("_dmarc.among.example", "v=DMARC1; p=reject"),
		stack.TXT("reject.example", "v=spf1 ip4:"+goodClient+" -all"),
		stack.TXT("bounces.reject.example", "v=spf1 ip4:"+goodClient+" -all"),
		stack.TXT("strict.example", "v=spf1 ip4:"+goodClient+" -all"),
		stack.TXT("bounces.strict.example", "v=spf1 ip4:"+goodClient+" -all"),
		"sub.newreject.example. 60 IN A "+goodClient,
		"sub.newnone.example. 60 IN A "+goodClient,
		"sub.subreject.example. 60 IN A "+goodClient,
		"sub.subnone.example. 60 IN A "+goodClient,
		"sub.reject.example. 60 IN A "+goodClient,
	)
}

// dmarcPolicies are messages of authors whose domains have a policy.
func dmarcPolicies(keys dkimKeys) []specimen {
	// unsigned has nothing that speaks for its author.
	unsigned := func(name, domain string) specimen {
		return specimen{name: "DMARC " + name, sender: "news@hard.example", message: from("Alice <alice@"+domain+">", "about dmarc")}
	}
	by := func(name, sender, author string) specimen {
		return specimen{name: "DMARC " + name, sender: sender, message: from(author, "about dmarc")}
	}
	signed := func(name, domain, author string) specimen {
		s := by(name, "news@hard.example", author)
		s.message = keys.sign(s.message, signature{domain: domain, selector: "rsa"})
		return s
	}
	broken := signed("list that breaks the signature", "reject.example", "alice@reject.example")
	broken.message = bytes.Replace(broken.message, []byte("Hello Bob"), []byte("[list] Hello Bob"), 1)
	policies := []specimen{
		unsigned("reject", "reject.example"),
		unsigned("quarantine", "quarantine.example"),
		unsigned("none", "observe.example"),
		unsigned("no record", "nothing.example"),
		unsigned("reject, sub-domain", "sub.reject.example"),
		unsigned("reject of sub-domains only, sub-domain", "sub.subreject.example"),
		unsigned("reject of sub-domains only, the domain", "subreject.example"),
		unsigned("reject but of sub-domains, sub-domain", "sub.subnone.example"),
		unsigned("reject but of sub-domains, the domain", "subnone.example"),
		unsigned("reject of names that do not exist, such a name", "absent.newreject.example"),
		unsigned("reject of names that do not exist, another", "sub.newreject.example"),
		unsigned("reject but of names that do not exist, such a name", "absent.newnone.example"),
		unsigned("reject but of names that do not exist, another", "sub.newnone.example"),
		unsigned("reject, testing", "testing.example"),
		unsigned("reject of 0 percent", "percent.example"),
		unsigned("quarantine of 100 percent", "half.example"),
		unsigned("record without a policy", "nopolicy.example"),
		unsigned("record with an unknown policy and reports", "badpolicy.example"),
		unsigned("record with an unknown policy", "badonly.example"),
		unsigned("record of another version", "badversion.example"),
		unsigned("record with its version in small letters", "lowercase.example"),
		unsigned("record in capitals", "capitals.example"),
		unsigned("record with blanks", "spaces.example"),
		unsigned("record with its version last", "orderly.example"),
		unsigned("record with an unknown tag", "unknowntag.example"),
		unsigned("two records", "twice.example"),
		unsigned("record among others", "among.example"),
		unsigned("record of a sub-domain's own", "mail.deep.example"),
		unsigned("name below a sub-domain with a record of its own", "a.mail.deep.example"),
		unsigned("name server that refuses", refusedDomain),
	}
	alignment := []specimen{
		by("aligned by SPF", "alice@reject.example", "alice@reject.example"),
		by("aligned by SPF of a sub-domain", "alice@bounces.reject.example", "alice@reject.example"),
		by("aligned by SPF in capitals", "alice@Reject.EXAMPLE", "alice@rEJECT.example"),
		by("strict, SPF of a sub-domain", "alice@bounces.strict.example", "alice@strict.example"),
		by("strict, aligned by SPF", "alice@strict.example", "alice@strict.example"),
		signed("aligned by DKIM", "reject.example", "alice@reject.example"),
		signed("aligned by DKIM of a sub-domain", "mail.reject.example", "alice@reject.example"),
		signed("sub-domain aligned by DKIM of the domain", "reject.example", "alice@sub.reject.example"),
		signed("strict, DKIM of a sub-domain", "mail.strict.example", "alice@strict.example"),
		signed("strict, aligned by DKIM", "strict.example", "alice@strict.example"),
		signed("DKIM of another", "third.example", "alice@reject.example"),
		broken,
		{name: "DMARC null sender, aligned by HELO", sender: nullSender, helo: "reject.example", host: "reject.example", message: from("MAILER-DAEMON@reject.example", "bounce")},
		{name: "DMARC null sender, HELO of another", sender: nullSender, helo: "hard.example", host: "hard.example", message: from("MAILER-DAEMON@reject.example", "bounce")},
		{name: "DMARC forged Authentication-Results", sender: "news@hard.example", message: append([]byte(forgedFor("reject.example")), from("alice@reject.example", "forged")...)},
	}
	return about(slices.Concat(policies, alignment, dmarcAuthors(by)), dmarcPair)
}

// dmarcAuthors are messages with an odd From.
func dmarcAuthors(by func(name, sender, author string) specimen) []specimen {
	const news = "news@hard.example"
	return []specimen{
		by("author with another address as name", news, `"ceo@reject.example" <alice@nothing.example>`),
		by("author with another's address in a comment", news, `alice@reject.example (see mallory@nothing.example)`),
		by("author in a group", news, `Friends: alice@reject.example;`),
		by("author with an encoded name", news, `=?utf-8?q?Al=C3=AEce?= <alice@reject.example>`),
		by("author folded", news, "Alice\r\n\t<alice@reject.example>"),
		by("author without a domain", news, "alice"),
		by("author that is nobody", news, "<>"),
		by("two authors of one domain", news, "alice@reject.example, anna@reject.example"),
		by("two authors, the first's domain rejects", news, "alice@reject.example, bob@nothing.example"),
		by("two authors, the second's domain rejects", news, "bob@nothing.example, alice@reject.example"),
		{name: "DMARC two From, the first's domain rejects", sender: news, message: append([]byte("From: alice@reject.example\r\n"), from("bob@nothing.example", "twofold")...)},
		{name: "DMARC two From, the second's domain rejects", sender: news, message: append([]byte("From: bob@nothing.example\r\n"), from("alice@reject.example", "twofold")...)},
		{name: "DMARC no From", sender: news, message: lines("Subject: nobody", "Date: "+date, "", "Hello.")},
	}
}

// forgedFor are results that a client has made up for a domain.
func forgedFor(domain string) string {
	return "Authentication-Results: " + stack.AuthservID + "; dkim=pass header.d=" + domain + "; spf=pass smtp.mailfrom=" + domain + "; x-mark=" + forgedMark + "\r\n"
}
