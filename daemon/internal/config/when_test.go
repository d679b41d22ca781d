package config

import (
	"fmt"
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
	{"also a function to come", `stress(client.name)`, `1: stress is not supported by this version yet`},
	{"addresses have no angle brackets", `mail_from == "<>" || "<a@b>" != rcpt_to`, "14: mail_from has no angle brackets: write \"\"\n" + `22: rcpt_to has no angle brackets: write "a@b"`},
	{"a network is no address", `client.addr in ["192.0.2.1", "192.0.2.0/24"]`, `30: client.addr is one address and no network: write cidr(client.addr, "192.0.2.0/24")`},
	{"nor is it a list", `client.addr in "192.0.2.0/24"`, `16: for a network write cidr(client.addr, "192.0.2.0/24", "2001:db8::/32")`},
	{"an address has one form", `client.addr == "IPv6:2001:DB8::1"`, `16: client.addr never has this form: write "2001:db8::1"`},
	{"text stands in quotes", `helo == mail.example.org`, `9: unknown name "mail.example.org"; text stands in quotes`},
	{"an address too", `client.addr == 192.0.2.1`, `16: a condition has no numbers; text stands in quotes, such as "192.0.2.1"`},
	{"whatever it looks like", `client.addr == 2001:db8::1`, `16: a condition has no numbers; text stands in quotes, such as "192.0.2.1"`},
	{"and an address of mail", `mail_from == bob@example.org`, `17: this is no word of a condition; text stands in quotes, such as "192.0.2.1"`},
	{"what is to come is told so", `s25r && !authenticated && !trusted || stress`, "28: trusted is not supported by this version yet\n39: stress is not supported by this version yet"},
	{"whatever it will be", `stress.level == "1"`, `1: stress is not supported by this version yet`},

	{"one = is a slip", `helo = "a"`, `6: "=" is not an operator of a condition; did you mean "=="?`},
	{"so is one &", `local & authenticated`, `7: "&" is not an operator of a condition; did you mean "&&"?`},
	{"a pipe is not or", `local | authenticated`, `7: "|" is not an operator of a condition; did you mean "||"?`},
	{"capitals make no operator", `local AND authenticated`, `7: "AND" is not an operator of a condition; did you mean "and"?`},
	{"nor small letters", `helo startswith "a"`, `6: "startswith" is not an operator of a condition; did you mean "startsWith"?`},
	{"nor parentheses", `local OR (authenticated)`, `7: "OR" is not an operator of a condition; did you mean "or"?`},
	{"there is no order", `helo < "a"`, `6: "<" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"and no arithmetic", `helo + "a" == "b"`, `6: "+" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"a name has no dash", `mail-from == ""`, `5: "-" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"there is no choice", `local ? true : false`, `7: "?" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"in no way", `if local { true } else { false }`, `1: "if" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"there are no variables", `let x = local; x`, `1: "let" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"no sequences", `local; local`, `6: ";" is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"no maps", `helo in {"a": true}`, `9: "{" has no meaning in a condition`},
	{"no ranges", `helo in "a".."b"`, `12: ".." is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"no lambdas", `all([helo], # == "a")`, `1: unknown function "all"; there are macro, cidr`},
	{"no other functions", `lower(helo) == "a"`, `1: unknown function "lower"; there are macro, cidr`},
	{"none of expr's", `now() == ""`, `1: unknown function "now"; there are macro, cidr`},
	{"a misspelt one is told", `cdir(client.addr, "192.0.2.0/24")`, `1: unknown function "cdir"; did you mean "cidr"?`},
	{"no methods", `client.addr.startsWith("192.")`, `1: unknown function "client.addr.startsWith"; there are macro, cidr`},
	{"a name is no function", `authenticated()`, `1: authenticated is not a function; write it without parentheses`},
	{"a function is no name", `macro == "a"`, `1: macro is a function: macro("auth_type")`},
	{"a dot is the one way to a part", `client["addr"] == "a"`, `7: this has no meaning in a condition`},
	{"there is nothing to skip", `client?.addr == "a"`, `7: "?." is not an operator of a condition; there are &&, ||, !, ==, !=, in, matches, contains, startsWith, endsWith, and, or, not`},
	{"there is no environment", `$env.helo == "a"`, `1: unknown name "$env.helo"; text stands in quotes`},
	{"what is missing is empty", `mail_from == nil`, `14: there is no nil; what is missing is the empty text ""`},

	{"! binds more than ==", `!helo == "a"`, `2: "!" wants true or false, and this is text; for not equal write !=`},
	{"&& joins what is true or false", `local && helo`, `10: "&&" wants true or false, and this is text`},
	{"== compares like with like", `authenticated == "yes"`, `15: "==" compares true or false with text`},
	{"contains is for text", `local contains "a"`, `1: "contains" wants text, and this is true or false`},
	{"in is for lists", `helo in "abc"`, `9: "in" wants a list, such as ["a.example", "b.example"]; for a part of a text write contains`},
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
