package quota

import (
	"slices"
	"strings"
	"time"
)

// label tells which quota a family is of: from the words beside "Remaining", and before
// "RateLimit" where there is another word for that; else from the headers that name it.
func (f family) label() (name, unit string, window time.Duration) {
	switch f.before + f.after {
	case "Ratelimit-", "X-Ratelimit-", "X-Rate-Limit-":
		return f.named(), "", 0
	case "X-Ratelimit-Requests-":
		// Of RapidAPI and Linear, which mean another quota than X-RateLimit-Remaining.
		return "requests", "", 0
	}
	key := strings.ToLower(f.before + f.after)
	_, words, found := strings.Cut(key, "ratelimit-")
	if !found {
		_, words, found = strings.Cut(key, "rate-limit-")
	}
	if !found {
		words = strings.TrimPrefix(key, "x-")
	}
	var names []string
	for word := range strings.SplitSeq(words, "-") {
		switch word {
		case "", "requests", "req", "limit":
			continue
		case "tokens", "tokenlimit":
			unit = "tokens"
			if i := len(names) - 1; i >= 0 && (names[i] == "input" || names[i] == "output") {
				unit, names = names[i]+"-tokens", names[:i]
			}
			continue
		case "time":
			unit = "seconds" // Dataverse counts how long its calls take
			continue
		case "points", "credits", "bytes", "characters", "complexity":
			unit = word
			continue
		}
		if i := slices.IndexFunc(periods[:], func(p period) bool { return slices.Contains(p.words, word) }); i >= 0 {
			window = periods[i].length
		}
		names = append(names, word)
	}
	return strings.Join(names, "-"), unit, window
}

// A period is a word of a header's name. A month is none: its length is not fixed.
type period struct {
	length time.Duration
	words  []string
}

var periods = [...]period{
	{time.Second, []string{"second", "secondly"}},
	{time.Minute, []string{"minute", "minutely"}},
	{time.Hour, []string{"hour", "hourly"}},
	{24 * time.Hour, []string{"day", "daily", "24hour"}},
	{7 * 24 * time.Hour, []string{"week", "weekly"}},
}

// named returns the name that other headers of a family give to it: GitHub's
// X-RateLimit-Resource, Discord's X-RateLimit-Bucket and, where all buckets are meant,
// X-RateLimit-Global and X-RateLimit-Scope, GitLab's RateLimit-Name.
func (f family) named() string {
	first := func(word string) string {
		if v := f.values(word); len(v) > 0 {
			return strings.TrimSpace(v[0])
		}
		return ""
	}
	if first("Global") == "true" || first("Scope") == "global" {
		return "global"
	}
	for _, word := range [...]string{"Resource", "Bucket", "Name"} {
		if name := first(word); name != "" {
			return name
		}
	}
	return ""
}
