package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wrongConditions states what a wrong condition is told: each line of want is
// the column within the condition, and the message.
var wrongConditions = []struct{ rule, text, want string }{
	{"a condition is true or false", `helo`, `1: this is text, and a condition is true or false, such as helo == "mail.example.org"`},
	{"so it is where it is a macro", `macro("auth_type")`, `1: this is text, and a condition is true or false, such as helo == "mail.example.org"`},
	{"an unknown name is told", `local || heloo == "a"`, `10: unknown name "heloo"; did you mean "helo"?`},
	{"also one of two parts", `client.adr == "a"`, `1: unknown name "client.adr"; did you mean "client.addr"?`},
	{"the client has two", `client == "a"`, `1: of the client there are client.addr and client.name`},
	{"all mistakes are told", `authentcated && mailfrom == ""`, "1: unknown name \"authentcated\"; did you mean \"authenticated\"?\n" + `17: unknown name "mailfrom"; did you mean "mail_from"?`},
	{"a macro is told", `daemon_name == "smtps"`, `1: daemon_name is a macro: write macro("daemon_name")`},
	{"also one that is no function", `stress(client.name)`, `1: stress is not a function; write it without parentheses`},
	{"addresses have no angle brackets", `mail_from == "<>" || "<a@b>" != rcpt_to`, "14: mail_from has no angle brackets: write \"\"\n" + `22: rcpt_to has no angle brackets: write "a@b"`},
	{"a network is no address", `client.addr in ["192.0.2.1", "192.0.2.0/24"]`, `30: client.addr is one address and no network: write cidr(client.addr, "192.0.2.0/24")`},
	{"nor is it a list", `client.addr in "192.0.2.0/24"`, `16: for a network write cidr(client.addr, "192.0.2.0/24", "2001:db8::/32")`},
	{"an address has one form", `client.addr == "IPv6:2001:DB8::1"`, `16: client.addr never has this form: write "2001:db8::1"`},
	{"text stands in quotes", `helo == mail.example.org`, `9: unknown name "mail.example.org"; text stands in quotes`},
	{"an address too", `client.addr == 192.0.2.1`, `16: a condition has whole numbers only, such as sessions >= 75; text stands in quotes, such as "192.0.2.1"`},
	{"whatever it looks like", `client.addr == 2001:db8::1`, `16: a condition has whole numbers only, such as sessions >= 75; text stands in quotes, such as "192.0.2.1"`},
	{"and an address of mail", `mail_from == bob@example.org`, `17: this is no word of a condition; text stands in quotes, such as "192.0.2.1"`},
	{"nor is trusted, and why one would want it to be", `trusted("/a")`, `1: trusted is not a function; for domains of your own write mail_from.domain in list("/etc/milterkit/trusted") && spf == "pass"`},
	{"a part that is not there is told", `mail_from.domian == "a"`, `1: unknown name "mail_from.domian"; did you mean "mail_from.domain"?`},
	{"others have no parts", `stress.level == "1"`, `1: unknown name "stress.level"; text stands in quotes`},

	{"one = is a slip", `helo = "a"`, `6: "=" is not an operator of a condition; did you mean "=="?`},
	{"so is one &", `local & authenticated`, `7: "&" is not an operator of a condition; did you mean "&&"?`},
	{"a pipe is not or", `local | authenticated`, `7: "|" is not an operator of a condition; did you mean "||"?`},
	{"capitals make no operator", `local AND authenticated`, `7: "AND" is not an operator of a condition; did you mean "and"?`},
	{"nor small letters", `helo startswith "a"`, `6: "startswith" is not an operator of a condition; did you mean "startsWith"?`},
	{"nor parentheses", `local OR (authenticated)`, `7: "OR" is not an operator of a condition; did you mean "or"?`},
	{"text has no order", `helo < "a"`, "1: \"<\" wants a number, and this is text\n8: \"<\" wants a number, and this is text"},
	{"a number is no condition", `sessions`, `1: this is a number, and a condition is true or false, such as helo == "mail.example.org"`},
	{"numbers are compared with numbers", `sessions == "75"`, `10: "==" compares a number with text`},
	{"and are whole", `sessions > 7.5`, `12: a condition has whole numbers only, such as sessions >= 75; text stands in quotes, such as "192.0.2.1"`},
	{"and not huge", `sessions > 99999999999999999999`, `12: a condition has whole numbers only, such as sessions >= 75; text stands in quotes, such as "192.0.2.1"`},
	{"they are not in lists", `sessions in [1, 2]`, "1: \"in\" wants text, and this is a number\n14: \"in\" wants text, and this is a number\n17: \"in\" wants text, and this is a number"},
	{"and no arithmetic", `helo + "a" == "b"`, `6: "+" is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"a name has no dash", `mail-from == ""`, `5: "-" is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"there is no choice", `local ? true : false`, `7: "?" is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"in no way", `if local { true } else { false }`, `1: "if" is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"there are no variables", `let x = local; x`, `1: "let" is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"no sequences", `local; local`, `6: ";" is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"no maps", `helo in {"a": true}`, `9: "{" has no meaning in a condition`},
	{"no ranges", `helo in "a".."b"`, `12: ".." is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"no lambdas", `all([helo], # == "a")`, `1: unknown function "all"; there are macro, cidr, dnsbl, list, time_between, children`},
	{"no other functions", `lower(helo) == "a"`, `1: unknown function "lower"; there are macro, cidr, dnsbl, list, time_between, children`},
	{"none of expr's", `now() == ""`, `1: unknown function "now"; there are macro, cidr, dnsbl, list, time_between, children`},
	{"a misspelt one is told", `cdir(client.addr, "192.0.2.0/24")`, `1: unknown function "cdir"; did you mean "cidr"?`},
	{"no methods", `client.addr.startsWith("192.")`, `1: unknown function "client.addr.startsWith"; there are macro, cidr, dnsbl, list, time_between, children`},
	{"a name is no function", `authenticated()`, `1: authenticated is not a function; write it without parentheses`},
	{"a function is no name", `macro == "a"`, `1: macro is a function: macro("auth_type")`},
	{"a dot is the one way to a part", `client["addr"] == "a"`, `7: this has no meaning in a condition`},
	{"there is nothing to skip", `client?.addr == "a"`, `7: "?." is not an operator of a condition; there are &&, ||, !, ==, !=, <, <=, >, >=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"there is no environment", `$env.helo == "a"`, `1: unknown name "$env.helo"; text stands in quotes`},
	{"what is missing is empty", `mail_from == nil`, `14: there is no nil; what is missing is the empty text ""`},

	{"! binds more than ==", `!helo == "a"`, `2: "!" wants true or false, and this is text; for not equal write !=`},
	{"&& joins what is true or false", `local && helo`, `10: "&&" wants true or false, and this is text`},
	{"== compares like with like", `authenticated == "yes"`, `15: "==" compares true or false with text`},
	{"contains is for text", `local contains "a"`, `1: "contains" wants text, and this is true or false`},
	{"in is for lists", `helo in "abc"`, `9: "in" wants a list, such as ["a.example", "b.example"] or list("/etc/milterkit/domains"); for a part of a text write contains`},
	{"of text", `helo in ["a", true]`, `15: "in" wants text, and this is true or false`},
	{"that are not empty", `helo in []`, `9: the list is empty, so nothing is ever in it`},
	{"a list is for in", `helo == ["a"]`, `9: a list stands behind in: helo in ["a.example", "b.example"]`},
	{"a regular expression is constant", `helo matches client.name`, `14: "matches" wants a regular expression in quotes, such as "@example[.]org$"`},
	{"and is one", `helo matches "a["`, `14: this is not a regular expression: missing closing ]: "["`},
	{"a backslash is written twice", `helo matches "\."`, "15: this is no escape; a backslash in quotes is written twice, or the text stands in `backquotes`"},

	{"a macro's name is constant", `macro(helo) == "a"`, `1: macro wants one name in quotes, such as macro("auth_type")`},
	{"and one", `macro("a", "b") == "a"`, `1: macro wants one name in quotes, such as macro("auth_type")`},
	{"and there", `macro() == "a"`, `1: macro wants one name in quotes, such as macro("auth_type")`},
	{"it can be asked for", `macro("a b") == "a"`, `7: macro: "a b" is not a name; write it as the MTA does, with or without braces`},
	{"a queue ID comes too late", `macro("i") == "a"`, `7: macro: "i" comes too late: behind Postfix a message has a queue ID only when its first recipient is taken, and a condition is settled at RCPT at the latest`},
	{"so does a message ID", `macro("{msg_id}") == "a"`, `7: macro: "{msg_id}" comes too late: MTAs tell it at the end of the message only, and a condition is settled at RCPT at the latest`},

	{"cidr has networks", `cidr(client.addr)`, `1: cidr wants an address and a network: cidr(client.addr, "192.0.2.0/24", "2001:db8::/32")`},
	{"of an address", `cidr(client.name, "192.0.2.0/24")`, `6: cidr: this is not an address; there is client.addr, or a macro such as macro("if_addr")`},
	{"that are constant", `cidr(client.addr, helo)`, `19: cidr: networks stand in quotes, one after another: cidr(client.addr, "192.0.2.0/24", "2001:db8::/32")`},
	{"and are networks, each of them", `cidr(client.addr, "192.0.2.0/33", "mail.example.org")`,
		"19: cidr: \"192.0.2.0/33\" is not a network; write one such as \"192.0.2.0/24\" or \"2001:db8::/32\"\n" +
			`35: cidr: "mail.example.org" is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`},
	{"and have no further bits", `cidr(client.addr, "192.0.2.1/24")`, `19: cidr: "192.0.2.1/24" has bits beyond the first 24; write "192.0.2.0/24" or "192.0.2.1/32"`},

	{"dnsbl has lists", `dnsbl()`, `1: dnsbl wants the domain of a list in quotes, or several: dnsbl("zen.spamhaus.org")`},
	{"that are constant", `dnsbl(helo)`, `7: dnsbl: lists stand in quotes, one after another: dnsbl("zen.spamhaus.org")`},
	{"and are domains, each of them", `dnsbl("zen", "bl.example=2")`, "7: dnsbl: \"zen\" is not the domain of a list; write one such as \"zen.spamhaus.org\"\n" +
		`14: dnsbl: "2" is not a network; write one such as "192.0.2.0/24" or "2001:db8::/32"`},
	{"a file is behind in", `list("/a")`, `1: a list stands behind in: mail_from in list("/etc/milterkit/senders")`},
	{"it is one", `helo in list("/a", "/b")`, `9: list wants one file in quotes, such as mail_from in list("/etc/milterkit/senders")`},
	{"with its whole path", `helo in list("domains")`, `14: list: "domains" does not begin with /: mail_from in list("/etc/milterkit/senders")`},
	{"that is there", `helo in list("/nowhere/domains")`, `14: list: "/nowhere/domains": no such file or directory`},
	{"for what it can have", `weekday in list("/a")`, `1: a list has domains, addresses and networks, and weekday is none of these`},
	{"spf is one of a few", `spf == "passed" || spf in ["softfial"]`, "8: spf is never \"passed\"; did you mean \"pass\"?\n" + `28: spf is never "softfial"; did you mean "softfail"?`},
	{"so is the day", `weekday == "Sunday" || weekday == ""`, "12: weekday is never \"Sunday\"; did you mean \"sunday\"?\n" +
		`35: weekday is never ""; there are sunday, monday, tuesday, wednesday, thursday, friday, saturday`},
	{"a domain has no capitals", `mail_from.domain == "Example.org"`, `21: mail_from.domain is a domain in small letters: write "example.org"`},
	{"nor a dot at its end", `rcpt_to.domain == "example.org."`, `19: rcpt_to.domain is a domain in small letters: write "example.org"`},
	{"and no @", `rcpt_to.domain in ["@example.org"]`, `20: rcpt_to.domain is a domain in small letters: write "example.org"`},
	{"time_between has two times", `time_between("22:00")`, `1: time_between wants two times of day in quotes: time_between("22:00", "06:00")`},
	{"that are constant", `time_between(helo, "06:00")`, `14: time_between: times stand in quotes: time_between("22:00", "06:00")`},
	{"and are times", `time_between("22:00", "6:00")`, `23: time_between: "6:00" is not a time of day; write it "00:00" to "24:00"`},
	{"each", `time_between("25:00", "06:00")`, `14: time_between: "25:00" is not a time of day; write it "00:00" to "24:00"`},
	{"and something is between them", `time_between("06:00", "06:00")`, `23: time_between: nothing is between a time and itself; all day is "00:00", "24:00"`},

	{"a condition has an end", `helo ==`, `8: the condition ends too early`},
	{"so has a parenthesis", `(local`, `7: the condition ends too early`},
	{"and a member", `client.`, `8: the condition ends too early`},
	{"and a text", `helo == "a`, `11: the text in quotes has no end`},
	{"and a comment", `local /* a`, `11: the comment has no end`},
	{"a parenthesis has a beginning", `local)`, `6: ")" is not expected here`},
	{"two names have an operator between them", `local authenticated`, `7: "authenticated" is not an operator of a condition; there are in, matches, contains, startsWith, endsWith, and, or, not`},
	{"so have two texts", `helo == "a" "b"`, `13: an operator is missing before this text`},
	{"places are counted in bytes", `helo == "ä" && heloo == ""`, `17: unknown name "heloo"; did you mean "helo"?`},
	{"a condition has bounds", strings.Repeat("(", 70000), `1: a condition has at most 65536 bytes`},
	{"so has a list", `helo in [` + strings.Repeat(`"a",`, 12000) + `"a"]`, `1: the condition has too many words`},
	{"nothing is no condition", " ", `2: the condition ends too early`},
}

func TestWrongConditions(t *testing.T) {
	for _, c := range wrongConditions {
		t.Run(c.rule, func(t *testing.T) {
			const file = "[[milter]]\nname = \"a\"\nsocket = \"/a\"\n"
			_, err := Parse("f", fmt.Appendf(nil, "%swhen = '''\n%s'''\n", file, c.text), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.NewReplacer("f:5:", "", " when: ", " ").Replace(err.Error()); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What is wrong with a list is told with its file and line, in the place where the
// condition names it.
func TestWrongLists(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("example.org\nfoo bar\n# comment\n192.0.2.1/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Parse("f", fmt.Appendf(nil, "[[milter]]\nname = \"a\"\nsocket = \"/a\"\nwhen = 'mail_from in list(%q)'\n", list), nil)
	want := `f:4:27: when: list: ` + list + `:2: "foo bar" is neither a domain ("example.org", ".example.org" with all below it), an address ("bob@example.org") nor a network ("192.0.2.0/24")` +
		"\n" + `f:4:27: when: list: ` + list + `:4: "192.0.2.1/24" has bits beyond the first 24; write "192.0.2.0/24" or "192.0.2.1/32"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A milter can be asked about by those that stand after it, wherever its own keys stand:
// not by itself, nor by those before it.
func TestConditionsOnMilters(t *testing.T) {
	const file = `[[milter]]
when = 'children("a").verdict == "fail" || children("b").verdict == "fail"'
name = "a"
socket = "/a"

[[milter]]
when = 'children("a").verdict == "reject" && children("b").verdict == "fail"'
name = "b"
socket = "/b"
shadow = true

[[milter]]
when = 'children("a").verdict == "fail" || children("b").verdict == "reject"'
name = "c"
socket = "/c"
`
	const want = `f:2:9: when: children: no milter stands before this one
f:2:44: when: children: no milter stands before this one
f:7:34: when: a verdict is "reject" here for a shadow only: where another milter refuses, this one is not asked
f:7:55: when: children: no milter before this one is called "b"; did you mean "a"?`
	if _, err := Parse("f", []byte(file), nil); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
