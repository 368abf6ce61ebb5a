package otelpacedhttp

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

const redacted = "REDACTED"

// sensitiveQueryKeys is the list of the semantic conventions, under url.full.
var sensitiveQueryKeys = []string{
	"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token",
	"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature",
}

// A redactor takes secrets out of URLs.
type redactor struct{ keys []string }

func newRedactor(keys []string) redactor { return redactor{slices.Clone(keys)} }

// full returns u as url.full.
func (r redactor) full(u *url.URL) string {
	query, found := r.query(u.RawQuery)
	if !found && u.User == nil && u.Opaque == "" {
		return u.String()
	}
	safe := *u
	safe.RawQuery = query
	if u.User != nil {
		safe.User = url.UserPassword(redacted, redacted)
	}
	// net/http sends an Opaque of "//host/path" to that host.
	if authority, path, _ := strings.Cut(strings.TrimPrefix(u.Opaque, "//"), "/"); strings.Contains(authority, "@") {
		_, host, _ := cutLast(authority, "@")
		safe.Opaque = "//" + redacted + ":" + redacted + "@" + host + "/" + path
	}
	return safe.String()
}

// query redacts the values of a raw query and leaves all else, order and escapes, as it
// is. It splits at semicolons too: some servers do.
func (r redactor) query(raw string) (safe string, found bool) {
	var b strings.Builder
	for start := 0; start < len(raw); {
		end := len(raw)
		if i := strings.IndexAny(raw[start:], "&;"); i >= 0 {
			end = start + i
		}
		key, _, hasValue := strings.Cut(raw[start:end], "=")
		if hasValue && r.sensitive(key) {
			if !found {
				found = true
				b.WriteString(raw[:start])
			}
			b.WriteString(key + "=" + redacted)
		} else if found {
			b.WriteString(raw[start:end])
		}
		if found && end < len(raw) {
			b.WriteByte(raw[end])
		}
		start = end + 1
	}
	if !found {
		return raw, false
	}
	return b.String(), true
}

// sensitive reports whether a server would take key for one of the list.
func (r redactor) sensitive(key string) bool {
	if strings.ContainsAny(key, "%+") {
		if plain, err := url.QueryUnescape(key); err == nil {
			key = plain
		}
	}
	return slices.Contains(r.keys, key)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]*`)

// describe returns err's text without URLs: url.full has the one that may be shown.
func describe(err error) string {
	return anyURL.ReplaceAllString(retrypolicy.ErrorText(err), "URL")
}
