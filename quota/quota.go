package quota

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A State is what a server said is left of one of its quotas.
type State struct {
	Name      string        // which quota, where the server has several; "" if it has no name
	Unit      string        // what is counted: "tokens"; "" means requests
	Remaining int           // so much is left
	Limit     int           // of so much; 0 means that it was not said
	Reset     time.Duration // until it is whole again; 0 means that it was not said
	Window    time.Duration // the period that Limit is for; 0 means that it was not said
}

// Read returns what a response's header says is left of the server's quotas: one
// State for each Name and Unit, at most 64, and nil if nothing is said. What does not
// say how much remains is no State, whatever else it says. They are ordered by the
// name of the header that tells what remains, and within one header as the server
// wrote them.
//
// Numbers are never negative: an overdrawn quota has 0 left, a reset that has passed is
// one that was not said, and what is too large is the largest there is. A remainder
// is rounded down, a reset up. Where an answer speaks of the same Name and Unit more
// than once, the strictest counts: the least Remaining, and of equal ones the longest
// Reset and the least Limit. The package comment has the dialects.
//
// now is when the response came; the zero Time stands for the time of the call, which is read
// only where the header says something.
//
// Read looks for keys in canonical form, as net/http makes them for HTTP/1 and HTTP/2
// alike. It keeps nothing and changes nothing; h may be nil.
//
// An answer that says nothing costs no allocation and the same short time, however long
// it is: a header of more than eight names is looked through only if a usual one is among
// them, which is RateLimit, one of the plain Remaining headers, or one that the answers
// of the services in the package comment always have.
func Read(h http.Header, now time.Time) []State {
	all := clock{h, now}.read()
	for i := range all {
		all[i].Reset = max(0, all[i].Reset)
	}
	return all
}

const (
	unsaid     = -1 // a Reset of which nothing was said, while one of 0 has passed
	mostStates = 64 // what a server can make us compare each State with
)

// read is Read with unsaid Resets marked.
func (c clock) read() []State {
	if len(c.h) > short && !marked(c.h) || plain(c.h) {
		return nil
	}
	var keys []string
	for key := range c.h {
		if saysRemaining(key) {
			keys = append(keys, key)
		}
	}
	if keys == nil || cached(c.h) {
		return nil
	}
	if c.now.IsZero() {
		c.now = time.Now()
	}
	slices.Sort(keys)
	var all readings
	for _, key := range keys {
		switch key {
		case rateLimit:
			all.readIETF(c)
		case shopify:
			all.readUsed(c.h[key])
		case azureResource:
			all.readAzureResource(c.h[key])
		default:
			all.readFamily(newFamily(c, key))
		}
	}
	return all
}

// plain reports whether h has nothing but what answers without a word on quotas have. It costs
// less than to look at each.
func plain(h http.Header) bool {
	n := 0
	for _, key := range [...]string{"Date", "Content-Type", "Content-Length"} {
		if _, ok := h[key]; ok {
			n++
		}
	}
	return n == len(h)
}

// short is the number of headers up to which looking at each costs less than asking for
// marks. Read is called for every response, and most say nothing.
const short = 8

// marks are headers of which answers that say what remains have at least one.
var marks = [...]string{
	rateLimit,
	"Ratelimit-Remaining",
	"X-Ratelimit-Remaining",
	"X-Rate-Limit-Remaining",
	"X-Ratelimit-Remaining-Requests", // OpenAI
	"X-Ratelimit-Remaining-Tokens",
	"X-Ratelimit-Remaining-Tokens-Minute", // Mistral, Cerebras
	"X-Ratelimit-Remaining-Minute",        // gateways
	"X-Ratelimit-Requests-Remaining",      // RapidAPI, Linear
	"Anthropic-Ratelimit-Requests-Remaining",
	shopify,
	"X-Hubspot-Ratelimit-Remaining",
	"X-Ms-Ratelimit-Burst-Remaining-Xrm-Requests", // Dataverse
	"X-Ms-Request-Id",                             // Azure's remainders have many names, but this is in all its answers
}

func marked(h http.Header) bool {
	for i := range marks {
		if _, ok := h[marks[i]]; ok {
			return true
		}
	}
	return false
}

// saysRemaining tells the headers that say what remains.
func saysRemaining(key string) bool {
	switch {
	case len(key) == len(rateLimit):
		return key == rateLimit
	case len(key) < len("Ratelimit-Remaining"):
		return false // most are
	case strings.Contains(key, "Remaining"):
		return strings.Contains(key, "imit")
	default:
		return key == shopify
	}
}

// cached tells an answer that was made for someone else, or long ago: what it says is
// left may be wrong by now (IETF draft, "Caching").
func cached(h http.Header) bool {
	age, _ := least(h["Age"])
	return age > 0
}

const (
	rateLimit     = "Ratelimit"
	shopify       = "X-Shopify-Shop-Api-Call-Limit"
	azureResource = "X-Ms-Ratelimit-Remaining-Resource"
)

// readings are what one answer says, one for each Name and Unit.
type readings []State

// add joins s to what is known of the same quota.
func (all *readings) add(s State) {
	i := slices.IndexFunc(*all, func(o State) bool { return o.Name == s.Name && o.Unit == s.Unit })
	switch {
	case i >= 0:
		(*all)[i] = stricter((*all)[i], s)
	case len(*all) < mostStates:
		*all = append(*all, s)
	}
}

func stricter(a, b State) State {
	if a.Remaining != b.Remaining {
		if a.Remaining < b.Remaining {
			return a
		}
		return b
	}
	a.Reset = max(a.Reset, b.Reset)
	if b.Limit > 0 && (a.Limit == 0 || b.Limit < a.Limit) {
		a.Limit, a.Window = b.Limit, cmp.Or(b.Window, a.Window)
	}
	return a
}
