package otelpacedhttp

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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
	safe.Opaque = r.opaque(u.Opaque)
	return safe.String()
}

// opaque redacts what net/http sends as the request's target: an Opaque of
// "//host/path?query" goes to that host, any other is sent as it is.
func (r redactor) opaque(raw string) string {
	target, query, hasQuery := strings.Cut(raw, "?")
	hierarchy := strings.HasPrefix(target, "//")
	target = strings.TrimPrefix(target, "//")
	authority, path, hasPath := strings.Cut(target, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = redacted + ":" + redacted + authority[i:]
	}
	safe := authority
	if hierarchy {
		safe = "//" + safe
	}
	if hasPath {
		safe += "/" + path
	}
	if hasQuery {
		query, _ = r.query(query)
		safe += "?" + query
	}
	return safe
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

// anyURL finds what looks like a URL, or the query of one.
var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]*|\?[^\s"=]+=[^\s"]*`)

// describe returns the text of err, which came of req, without URLs: url.full has the one
// that may be shown.
func describe(req *http.Request, err error) string {
	text := retrypolicy.ErrorText(err)
	for _, part := range partsOf(req.URL) {
		text = strings.ReplaceAll(text, part, "URL")
	}
	return anyURL.ReplaceAllString(text, "URL")
}

// partsOf returns u and parts of it, the longest first, as texts may quote them: it may
// have blanks and quotes, in which nothing can see the end of a URL.
func partsOf(u *url.URL) []string {
	if u == nil {
		return nil
	}
	parts := make([]string, 0, 12)
	for _, part := range [...]string{u.String(), u.RequestURI(), u.RawQuery} {
		quoted := strconv.Quote(part)
		for _, form := range [...]string{part, quoted[1 : len(quoted)-1]} {
			parts = append(parts, form, retrypolicy.ErrorText(errors.New(form)))
		}
	}
	return slices.DeleteFunc(parts, func(part string) bool {
		return len(part) < 3 // "/", or a query that any word may contain
	})
}
