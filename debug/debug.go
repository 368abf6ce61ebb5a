// Package debug shows how the rate limits of pacers stand: a page for a person and JSON for a
// program, at one URL of the program that runs them.
//
//	http.Handle("/debug/pacers", debug.Handler(
//		debug.Pacer("github", github.Stats),
//		debug.Pacer("openai", openai.Stats),
//		debug.Keyed("tenants", tenants, nil),
//	))
//
// The page says of each pacer whether callers are held back and why, how full its limits are and
// what servers said of theirs, who waits and what is in flight, since when the oldest is, when the
// next may start, and how many have started or were refused. It renews itself every second while
// somebody looks, needs nothing from the network, and shows the same without JavaScript. With
// "Accept: application/json", or ?format=json, it is JSON:
//
//	curl -H 'Accept: application/json' localhost:6060/debug/pacers
//	{
//	  "now": "2026-03-01T12:00:00Z",
//	  "pacers": [{
//	    "name": "github", "state": "paused", "cause": "throttled", "paused_until": "2026-03-01T12:00:20Z",
//	    "waiting": 3, "in_flight": 2, "oldest_in_flight": "2026-03-01T11:59:58Z",
//	    "next": "2026-03-01T12:00:20Z", "predicted": "2026-03-01T12:00:20Z",
//	    "granted": 1200, "rejected": 4, "canceled": 1, "late": 0,
//	    "limits": [{"limit": "20/s", "size": 20, "used": 5, "left": 15, "uncosted": 0, "next": "2026-03-01T12:00:00Z"}],
//	    "quotas": [{"name": "core", "unit": "", "remaining": 12, "limit": 5000, "reset": "2026-03-01T12:30:00Z"}]
//	  }],
//	  "keyed": [{
//	    "name": "tenants", "keys": 10000, "states": {"flowing": 9999, "paused": 1},
//	    "waiting": 1, "in_flight": 0, "granted": 70000, "rejected": 0, "canceled": 0, "late": 0,
//	    "busiest": [{"name": "#5f0c9d21", "state": "paused", …}]
//	  }]
//	}
//
// A field means what that of [pacer.Stats] means, and is left out where that is the zero time or
// empty; size is the whole of a limit, its bucket where it has one. Fields may be added.
//
// # Who may see it
//
// Whoever reaches the handler. It changes nothing and blocks nobody, but it tells which services a
// program calls, how often and how well: serve it where net/http/pprof is served, on a port that is
// not public, or behind what asks who is there.
//
// Nothing that it shows is a secret, unless a name that the program gives is one. The keys of a
// Keyed may be tokens, so they are not shown: see [Keyed].
package debug

import (
	"iter"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A Source is what a [Handler] shows: one of [Pacer] or of [Keyed]. The zero Source is left out.
type Source struct {
	name  string
	stats func() pacer.Stats
	keys  Keys
	show  func(key string) string
}

// Pacer shows the pacer of which stats tells: the method Stats of a [pacer.Pacer] or of anything
// that has it. It is called once for each time that somebody looks, from any goroutine. A nil stats
// is left out.
func Pacer(name string, stats func() pacer.Stats) Source { return Source{name: name, stats: stats} }

// Keys are pacers by key: a [pacer.Keyed].
type Keys interface {
	All() iter.Seq2[string, *pacer.Pacer]
}

// Keyed shows the sums over all pacers of keys, and the 100 busiest of them: those where most
// callers wait, then those that are held back, then by what is in flight, by their fullest limit
// and by their starts.
//
// A key may be a token or a customer's name, so none is shown as it is. With a show that is nil it
// is a number of eight hexadecimal digits, of which nobody can tell the key, nor whether a guess at
// it is right: a keyed hash, under a secret that is made anew with each Handler. It is the same
// each time that one looks. A show that is not nil is the program's decision what may be seen of a
// key, such as the host of a URL: what it returns is shown, and where that is "" the number. It is
// called for the keys that are shown, from any goroutine.
//
// A nil keys is left out.
func Keyed(name string, keys Keys, show func(key string) string) Source {
	return Source{name: name, keys: keys, show: show}
}
