package test

// forgedLeft is why OpenDKIM's mail has forged results.
const forgedLeft = "OpenDKIM removes the plain one of the forged fields, and leaves those with a comment, a version, another case, or a quote " +
	"that does not end; a reader may take them for ours: RFC 8601 section 5"

var dkimDifferences = []difference{
	{
		pair:     dkimPair,
		messages: []string{"no header", "nothing at all"},
		daemon:   "delivered, dkim=permerror",
		ours:     "delivered, dkim=none",
		why:      "OpenDKIM calls a message without From one that cannot be verified; it is one that is not signed: RFC 8601 section 2.7.1, none",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM expired", "DKIM from the future"},
		daemon:   "delivered, dkim=permerror (rsa)",
		ours:     "delivered, dkim=policy (rsa)",
		why:      "the signature can be verified, but is not taken at this time: RFC 8601 section 2.7.1, policy",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM eight signatures"},
		daemon:   "delivered, 2 x dkim=neutral (ed), 3 x dkim=neutral (rsa), 2 x dkim=pass (ed), dkim=pass (rsa)",
		ours:     "delivered, 3 x dkim=pass (ed), 2 x dkim=pass (rsa), dkim=policy",
		why:      "OpenDKIM looks at three signatures, dkim-verify at five (`max_signatures`); the others are named in one result, since nothing is known of them",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM eight signatures, only the lowest valid"},
		daemon:   "delivered, 3 x dkim=fail (k1024), 4 x dkim=neutral (k1024), dkim=neutral (rsa)",
		ours:     "delivered, 5 x dkim=fail (k1024), dkim=policy",
		why:      "as above",
	},
	{
		pair:     dkimPair,
		messages: []string{"forged Authentication-Results, unsigned"},
		daemon:   "delivered, dkim=none, 2 forged",
		ours:     "delivered, dkim=none",
		why:      forgedLeft,
	},
	{
		pair:     dkimPair,
		messages: []string{"forged Authentication-Results, signed"},
		daemon:   "delivered, dkim=pass (rsa), 2 forged",
		ours:     "delivered, dkim=pass (rsa)",
		why:      "as above",
	},
	{
		pair:     dkimPair,
		messages: []string{"forged Authentication-Results, broken"},
		daemon:   "delivered, dkim=fail (rsa), 2 forged",
		ours:     "delivered, dkim=fail (rsa)",
		why:      "as above",
	},
	{
		pair:     dkimPair,
		messages: []string{"forged Authentication-Results, malformed"},
		daemon:   "delivered, dkim=none, 1 forged",
		ours:     "delivered, dkim=none",
		why:      "as above",
	},
	unusableKey("DKIM with no key published", "absent", noKey),
	unusableKey("DKIM with a revoked key", "revoked", "as above"),
	unusableKey("DKIM with a key record of another version", "version", "as above"),
	unusableKey("DKIM with a key of an unknown kind", "kind", "as above"),
	unusableKey("DKIM with a key for another service", "tlsrpt", "as above"),
	unusableKey("DKIM with a key for SHA-1 only", "sha1", "as above"),
	unusableKey("DKIM with a key not for sub-domains", "strict", "as above"),
	{
		pair:     dkimPair,
		messages: []string{"DKIM with RSA and SHA-1"},
		daemon:   "delivered, dkim=pass (rsa)",
		ours:     "delivered, dkim=policy (rsa)",
		why:      "SHA-1 must not be taken any more: RFC 8301 section 3.1",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM over the first bytes", "DKIM over the first bytes, with more after them"},
		daemon:   "delivered, dkim=pass (rsa)",
		ours:     "delivered, dkim=policy (rsa)",
		why:      "anybody can put a text of his own behind the part that is signed, which OpenDKIM also passes: RFC 6376 section 8.2",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM without d=", "DKIM field that says nothing"},
		daemon:   "delivered",
		ours:     "delivered, dkim=neutral",
		why:      "OpenDKIM says nothing of a message whose only signature it cannot read; RFC 8601 section 2.7.1 has neutral for it",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM of version 2"},
		daemon:   "delivered, dkim=permerror (rsa)",
		ours:     "delivered, dkim=neutral (rsa)",
		why:      "neutral is for signatures that cannot be processed: RFC 8601 section 2.7.1",
	},
	{
		pair:     dkimPair,
		messages: []string{"DKIM with a tag twice"},
		daemon:   "delivered, dkim=pass (rsa)",
		ours:     "delivered, dkim=neutral",
		why:      "where a tag is there twice the whole list is invalid: RFC 6376 section 3.2",
	},
}

// noKey is why a key that cannot be used makes permerror.
const noKey = "fail is for signatures that were checked and did not match; without a key there is nothing to check with, and will not be: " +
	"RFC 6376 section 6.1.2, RFC 8601 section 2.7.1"

// unusableKey is about a signature whose key is not there or not for it.
func unusableKey(message, selector, why string) difference {
	return difference{
		pair:     dkimPair,
		messages: []string{message},
		daemon:   "delivered, dkim=fail (" + selector + ")",
		ours:     "delivered, dkim=permerror (" + selector + ")",
		why:      why,
	}
}
