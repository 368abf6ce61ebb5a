package pacedhttp_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A comparedChain is held against the bare transport wherever it retries nothing.
type comparedChain struct {
	name    string
	retry   *retrypolicy.Config // of its Retry layer, if it has one
	layers  func(pacedhttp.Middleware) []pacedhttp.Middleware
	retries bool // what its policy takes for a failure
}

// paced returns a Retry layer above Pace.
func paced(retry pacedhttp.Middleware) []pacedhttp.Middleware {
	return []pacedhttp.Middleware{retry, pacedhttp.Pace(unlimited())}
}

var comparedChains = []comparedChain{
	{name: "New", layers: func(pacedhttp.Middleware) []pacedhttp.Middleware { return nil }},
	{name: "Pace", layers: paced},
	{name: "Retry of one attempt, Pace", layers: paced, retry: &retrypolicy.Config{MaxAttempts: 1}},
	{name: "Retry that accepts everything, Pace", layers: paced, retry: &retrypolicy.Config{
		ReplayBuffer: 3, // less than most bodies have
		Classify:     func(retrypolicy.Attempt) retrypolicy.Verdict { return retrypolicy.Accept },
	}},
	{name: "Retry, Pace", layers: paced, retry: &retrypolicy.Config{}, retries: true},
	{
		name:  "every layer",
		retry: &retrypolicy.Config{MaxAttempts: 1, AttemptTimeout: patience, ReplayBuffer: kib},
		layers: func(retry pacedhttp.Middleware) []pacedhttp.Middleware {
			return []pacedhttp.Middleware{
				pacedhttp.Observe(newJournal().hooks()),
				pacedhttp.Log(discard()),
				pacedhttp.Fallback(keep),
				retry,
				pacedhttp.Pace(unlimited()),
				pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error { return nil }),
			}
		},
	},
}

var everyProto = append([]string{rawHTTP1}, protocols[:]...)

// comparisons are the calls: of each of these, every combination.
var comparisons = []struct {
	methods []string
	bodies  []sentBody
	answers []reaction
	lives   []life
	ways    []way
}{
	{[]string{"GET"}, []sentBody{noBody}, slices.Concat(statuses, framings, breakages), unending, ways},
	{[]string{"HEAD", "POST"}, []sentBody{noBody}, slices.Concat(statuses, framings, breakages), unending, ways[:1]},
	{[]string{"GET", "HEAD", "POST"}, named("no body", "strings.Reader"), redirects, unending, ways},
	{[]string{"PUT"}, sentBodies, []reaction{plain(200), plain(500), plain(307, "Location", elsewhere), early(plain(413))}, unending, ways[1:]},
	{[]string{"DELETE"}, sentBodies, []reaction{plain(200)}, unending, ways[:1]},
	{[]string{"POST", "PUT"}, faultyBodies, []reaction{silence}, unending, ways},
	{[]string{"POST"}, named("no body", "strings.Reader", "stream", "pipe"), []reaction{silence}, slices.Concat(atOnce, later), ways},
	{[]string{"POST"}, named("no body", "stream"), []reaction{stall}, later, ways},
}

// meant are the differences that there shall be.
var meant = []struct {
	reason  string
	between func(comparison, comparedChain) bool
	in      []string // facts
}{
	{
		"Retry holds a body to its ContentLength: what would make one of another length look whole is not sent",
		func(c comparison, ch comparedChain) bool { return ch.retry != nil && c.body.mismatch },
		[]string{"error", "bytes", "server", "writes"},
	},
	{
		"a read of a stream ends where the replay buffer does, and with it a chunk",
		func(c comparison, ch comparedChain) bool {
			return ch.retry != nil && ch.retry.ReplayBuffer > 0 && c.body.reader != nil && !c.body.memory
		},
		[]string{"bytes"},
	},
	{
		"the error of a context that ended for a cause matches the context's Err too; net/http's matches but one of them",
		func(c comparison, ch comparedChain) bool { return c.life.cause && (ch.retry != nil || c.life.over) },
		[]string{"error"},
	},
	{
		"http.Client sets not only a deadline but also Request.Cancel where a transport is not net/http's own, and which of them is noticed first is chance",
		func(c comparison, _ comparedChain) bool { return c.life.timeout > 0 },
		[]string{"error", "end", "after the end", "close", "after the close"},
	},
}

func TestCallThatIsNotRetriedIsThatOfTheBareTransport(t *testing.T) {
	compared := make([]atomic.Int64, len(comparedChains))
	met := make([]atomic.Bool, len(meant))
	t.Run("calls", func(t *testing.T) {
		for c := range everyComparison() {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				c.compare(t, compared, met)
			})
		}
	})
	for i, ch := range comparedChains {
		if n := compared[i].Load(); n < 1000 {
			t.Errorf("%s: %d calls were compared, want at least 1,000", ch.name, n)
		}
	}
	for i, d := range meant[:len(meant)-1] { // whether the last one shows is chance
		if !met[i].Load() {
			t.Errorf("there is no such difference: %s", d.reason)
		}
	}
}

func everyComparison() func(yield func(comparison) bool) {
	return func(yield func(comparison) bool) {
		for _, p := range comparisons {
			for i := range len(everyProto) * len(p.methods) * len(p.bodies) * len(p.answers) * len(p.lives) * len(p.ways) {
				next := digits{i}
				c := comparison{pick(&next, everyProto), pick(&next, p.methods), pick(&next, p.bodies), pick(&next, p.answers), pick(&next, p.lives), pick(&next, p.ways)}
				if c.possible() && !yield(c) {
					return
				}
			}
		}
	}
}

// digits are those of a number, the lowest first, each to a base of its own.
type digits struct{ rest int }

func pick[T any](d *digits, of []T) T {
	digit := d.rest % len(of)
	d.rest /= len(of)
	return of[digit]
}

// compare fails t unless the call looks the same over every chain.
func (c comparison) compare(t *testing.T, compared []atomic.Int64, met []atomic.Bool) {
	want := c.over(t, nil)
	for i, ch := range comparedChains {
		retried := false
		got := c.over(t, func() []pacedhttp.Middleware {
			var retry pacedhttp.Middleware
			if ch.retry != nil {
				retry = pacedhttp.Retry(quick(*ch.retry))
			}
			told := pacedhttp.Hooks{RetryScheduled: func(context.Context, pacedhttp.RetryInfo) { retried = true }}
			if !ch.retries {
				return ch.layers(retry)
			}
			return append([]pacedhttp.Middleware{pacedhttp.Observe(told)}, ch.layers(retry)...)
		})
		if retried {
			continue
		}
		compared[i].Add(1)
		facts := maps.Clone(want)
		maps.Copy(facts, got)
		for fact := range facts {
			if got[fact] != want[fact] && !c.isMeant(ch, fact, met) {
				t.Errorf("%s over %s:\n\t%q\nwithout this package:\n\t%q", fact, ch.name, got[fact], want[fact])
			}
		}
	}
}

// isMeant reports whether the call may differ in a fact, and notes that it does.
func (c comparison) isMeant(ch comparedChain, fact string, met []atomic.Bool) bool {
	for i, d := range meant {
		if d.between(c, ch) && slices.Contains(d.in, fact) {
			met[i].Store(true)
			return true
		}
	}
	return false
}
