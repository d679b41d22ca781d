package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// hidden stands for what is nobody's business.
const hidden = "(hidden)"

// A secret is the value of an option that its child calls one.
type secret string

// shown is what stands in its place: of a URL all but the user and password. It
// reports false where there is nothing to hide.
func (s secret) shown() (string, bool) {
	if s == "" {
		return "", false
	}
	u, err := url.Parse(string(s))
	switch {
	case err != nil || u.Scheme == "" || u.Host+u.Path == "":
		return hidden, true
	case u.User == nil:
		return string(s), false
	}
	u.User = nil
	return strings.Replace(u.String(), "://", "://"+hidden+"@", 1), true
}

// secretWords are in the names of what is a secret: of options, and of macros.
var secretWords = []string{"password", "passwd", "secret", "token", "credential"}

// inURL is a password in a URL.
var inURL = regexp.MustCompile(`(\w+://[^\s/:@]*):[^\s/@]+@`)

// withoutSecrets returns the settings with secrets hidden: values whose key says that
// they are secret, and passwords in URLs.
func (s section) withoutSecrets() section {
	out := slices.Clone(s)
	for i, v := range out {
		out[i].value = withoutSecret(v.key, v.value)
	}
	return out
}

func withoutSecret(key string, value any) any {
	secret := slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(strings.ToLower(key), w) })
	switch v := value.(type) {
	case string:
		if secret && v != "" {
			return hidden
		}
		return inURL.ReplaceAllString(v, "$1:"+hidden+"@")
	case []string:
		list := make([]any, len(v))
		for i, text := range v {
			list[i] = withoutSecret(key, text)
		}
		return list
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = withoutSecret(key, item)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, item := range v {
			if m[k] = withoutSecret(k, item); secret {
				m[k] = hidden
			}
		}
		return m
	case []section:
		tables := make([]section, len(v))
		for i := range v {
			tables[i] = v[i].withoutSecrets()
		}
		return tables
	}
	return value
}
