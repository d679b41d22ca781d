package test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/milterkit/sdk/test/stack"
)

// signedDomain is the domain whose messages are signed.
const signedDomain = "signed.example"

// dkimRecords are what the records of the keys say, by their names.
func dkimRecords(keys dkimKeys) map[string]string {
	rsa := keys.record("rsa", "")
	_, p, _ := strings.Cut(rsa, "p=")
	texts := map[string]string{
		"rsa":     rsa,
		"ed":      keys.record("ed", ""),
		"k1024":   keys.record("k1024", ""),
		"k512":    keys.record("k512", ""),
		"revoked": "v=DKIM1; k=rsa; p=",
		"broken":  "v=DKIM1; k=rsa; p=AAAA" + p[:100],
		"version": "v=DKIM2; k=rsa; p=" + p,
		"bare":    "p=" + p,
		"strict":  keys.record("rsa", "t=s; "),
		"testing": keys.record("rsa", "t=y; "),
		"tlsrpt":  keys.record("rsa", "s=tlsrpt; "),
		"sha1":    keys.record("rsa", "h=sha1; "),
		"kind":    "v=DKIM1; k=unknown; p=" + p,
	}
	records := make(map[string]string)
	for selector, text := range texts {
		records[selector+"._domainkey."+signedDomain] = text
	}
	for _, domain := range []string{"third.example", "reject.example", "mail.reject.example", "strict.example", "mail.strict.example"} {
		records["rsa._domainkey."+domain] = rsa
	}
	return records
}

// dkimMessages are messages with signatures.
func dkimMessages(keys dkimKeys) []specimen {
	letter := from("Alice <alice@"+signedDomain+">", "signed", trickyLines...)
	// signed is the letter with signatures, of which the first stands lowest.
	signed := func(name string, all ...signature) specimen {
		message := letter
		for _, s := range all {
			if s.domain == "" {
				s.domain = signedDomain
			}
			message = keys.sign(message, s)
		}
		return specimen{name: name, message: message}
	}
	rsa := signature{selector: "rsa"}
	changed := func(name, old, new string) specimen {
		s := signed(name, rsa)
		s.message = bytes.Replace(s.message, []byte(old), []byte(new), 1)
		return s
	}
	return about(slices.Concat([]specimen{
		{name: "unsigned", message: letter},
		signed("DKIM valid, relaxed", rsa),
		signed("DKIM valid, simple", signature{selector: "rsa", header: "simple", body: "simple"}),
		signed("DKIM valid, Ed25519", signature{selector: "ed"}),
		signed("DKIM valid, Ed25519 and RSA", rsa, signature{selector: "ed"}),
		signed("DKIM valid, 1024 bits", signature{selector: "k1024"}),
		signed("DKIM valid, oversigned", signature{selector: "rsa", fields: signedFields + ":From:Subject:Cc"}),
		changed("DKIM broken in the body", "the figures are", "the numbers are"),
		changed("DKIM broken in the subject", "Subject: signed", "Subject: changed"),
		changed("DKIM with more blanks, relaxed", "the figures are", "the   figures are"),
		signed("DKIM expired", signature{selector: "rsa", more: "t=1000000000; x=1000000100; "}),
		signed("DKIM not yet expired", signature{selector: "rsa", more: "t=1000000000; x=9000000000; "}),
		signed("DKIM from the future", signature{selector: "rsa", more: "t=9000000000; "}),
	}, dkimSeveral(keys, letter, signed), dkimFaulty(keys, letter, signed)), dkimPair, dmarcPair)
}

// trickyLines are trickyFields.
var trickyLines = strings.Split(strings.TrimSuffix(trickyFields, "\r\n"), "\r\n")

// dkimSeveral are messages with several signatures, or with other fields that
// count.
func dkimSeveral(keys dkimKeys, letter []byte, signed func(string, ...signature) specimen) []specimen {
	rsa := signature{selector: "rsa"}
	broken := signature{selector: "k1024", edit: strings.NewReplacer("bh=", "bh=AAAA")}
	forged := func(name string, message []byte) specimen {
		return specimen{name: name, message: append([]byte(forgedResults(stack.AuthservID)), message...)}
	}
	body := "Hello Bob,\r\n\r\nthe figures are in the folder.\r\n"
	variant := func(name, newBody string, s signature) specimen {
		s.domain, s.selector = signedDomain, "rsa"
		return specimen{name: name, message: keys.sign(bytes.Replace(letter, []byte(body), []byte(newBody), 1), s)}
	}
	return []specimen{
		signed("DKIM two valid", rsa, signature{selector: "k1024"}),
		signed("DKIM valid above broken", broken, rsa),
		signed("DKIM broken above valid", rsa, broken),
		signed("DKIM eight signatures", slices.Repeat([]signature{rsa, {selector: "ed"}}, 4)...),
		signed("DKIM eight signatures, only the lowest valid", append([]signature{rsa}, slices.Repeat([]signature{broken}, 7)...)...),
		signed("DKIM of a third party", signature{selector: "rsa", domain: "third.example"}),
		forged("forged Authentication-Results, unsigned", letter),
		forged("forged Authentication-Results, signed", keys.sign(letter, signature{domain: signedDomain, selector: "rsa"})),
		forged("forged Authentication-Results, broken", bytes.Replace(keys.sign(letter, signature{domain: signedDomain, selector: "rsa"}), []byte("Bob"), []byte("Rob"), 1)),
		{name: "forged Authentication-Results, malformed", message: append([]byte(malformedResults(stack.AuthservID)), letter...)},
		variant("DKIM over 8-bit text", "gr\xfc\xdfe aus K\xf6ln\r\n", signature{}),
		variant("DKIM over an empty body, simple", "", signature{header: "simple", body: "simple"}),
		variant("DKIM over an empty body, relaxed", "", signature{}),
		variant("DKIM over blank lines, simple", body+strings.Repeat("\r\n", 5000), signature{header: "simple", body: "simple"}),
		variant("DKIM over blank lines, relaxed", body+strings.Repeat(" \t\r\n", 5000), signature{}),
	}
}

// dkimFaulty are signatures that are not as they should be, or have keys that are
// not.
func dkimFaulty(keys dkimKeys, letter []byte, signed func(string, ...signature) specimen) []specimen {
	with := func(selector, key string) signature { return signature{selector: selector, key: key} }
	edited := func(old, new string) signature {
		return signature{selector: "rsa", edit: strings.NewReplacer(old, new)}
	}
	length := signature{domain: signedDomain, selector: "rsa", length: 10}
	return []specimen{
		signed("DKIM with no key published", with("absent", "rsa")),
		signed("DKIM with a revoked key", with("revoked", "rsa")),
		signed("DKIM with a broken key record", with("broken", "rsa")),
		signed("DKIM with a key record of another version", with("version", "rsa")),
		signed("DKIM with a key record of p= alone", with("bare", "rsa")),
		signed("DKIM with a key of an unknown kind", with("kind", "rsa")),
		signed("DKIM with a key for another service", with("tlsrpt", "rsa")),
		signed("DKIM with a key for SHA-1 only", with("sha1", "rsa")),
		signed("DKIM with a key under test", with("testing", "rsa")),
		signed("DKIM with a key not for sub-domains", signature{selector: "strict", key: "rsa", more: "i=@mail." + signedDomain + "; "}),
		signed("DKIM with an identity in a sub-domain", signature{selector: "rsa", more: "i=alice@mail." + signedDomain + "; "}),
		signed("DKIM with an identity elsewhere", signature{selector: "rsa", more: "i=alice@elsewhere.example; "}),
		signed("DKIM with RSA and SHA-1", signature{selector: "rsa", sha1: true}),
		signed("DKIM with 512 bits", with("k512", "k512")),
		signed("DKIM over the first bytes", length),
		{name: "DKIM over the first bytes, with more after them", message: append(keys.sign(letter, length), "More.\r\n"...)},
		signed("DKIM without From", signature{selector: "rsa", fields: "To:Subject"}),
		signed("DKIM without d=", edited("d="+signedDomain+"; ", "")),
		signed("DKIM of version 2", edited("v=1;", "v=2;")),
		signed("DKIM with a tag twice", edited("s=rsa;", "s=rsa; s=rsa;")),
		signed("DKIM with an unknown tag", signature{selector: "rsa", more: "zz=1; "}),
		{name: "DKIM field that says nothing", message: append([]byte("DKIM-Signature: nonsense\r\n"), letter...)},
		{name: "DKIM over From, of which there are two", message: append([]byte("From: Mallory <mallory@elsewhere.example>\r\n"), keys.sign(letter, signature{domain: signedDomain, selector: "rsa"})...)},
	}
}

// forgedMark is in all results that a client has made up in our name.
const forgedMark = "forged.example"

// forgedResults are such results, and with them one from a server that nobody here
// answers for.
func forgedResults(id string) string {
	return "Authentication-Results: elsewhere.example; spf=pass smtp.mailfrom=example.org\r\n" +
		fmt.Sprintf("Authentication-Results: %s; dkim=pass header.d=%s\r\n", id, forgedMark) +
		fmt.Sprintf("authentication-results:%s;\r\n\tspf=pass smtp.mailfrom=%s;\r\n\tdmarc=pass header.from=%[2]s\r\n", id, forgedMark) +
		"X-Between: them\r\n" +
		fmt.Sprintf("Authentication-Results: (a comment) %s 1; spf=pass smtp.mailfrom=%s\r\n", strings.ToUpper(id), forgedMark)
}

// malformedResults are such results that no parser takes, but a reader may.
func malformedResults(id string) string {
	return fmt.Sprintf("Authentication-Results: %s; dkim=pass (no end header.d=%s\r\n", id, forgedMark) +
		fmt.Sprintf("Authentication-Results: \"%s; spf=pass smtp.mailfrom=%s\r\n", id, forgedMark)
}
