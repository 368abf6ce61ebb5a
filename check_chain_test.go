package pacedhttp_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestCheckFindsWhatCannotBeMeant(t *testing.T) {
	var passed []string
	other := foreign("a", &passed)
	quota := pacer.Burst(9, time.Second)
	tokens := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Cost: 9, Unit: "tokens", Period: time.Second}}})
	retry, pace, fallback := pacedhttp.Retry(nil), pacedhttp.Pace(quota), pacedhttp.Fallback(keep)
	told := pacedhttp.Observe(pacedhttp.Hooks{GaveUp: func(context.Context, pacedhttp.CallInfo) {}})
	slots := pacedhttp.Observe(pacedhttp.Hooks{SlotAcquired: func(context.Context, pacedhttp.SlotInfo) {}})
	both := func(next http.RoundTripper) http.RoundTripper { return pace(retry(next)) }
	for name, tc := range map[string]struct {
		mw   []pacedhttp.Middleware
		want []string // what each finding holds
	}{
		"nothing":                 {nil, nil},
		"the usual order":         {[]pacedhttp.Middleware{told, fallback, retry, pace, slots}, nil},
		"two quotas":              {[]pacedhttp.Middleware{retry, pace, pacedhttp.Pace(pacer.Burst(9, time.Second))}, nil},
		"a Waiter by request":     {[]pacedhttp.Middleware{retry, pace, pacedhttp.PaceBy(func(*http.Request) pacedhttp.Waiter { return quota })}, nil},
		"functions are no pacers": {[]pacedhttp.Middleware{retry, pacedhttp.Pace(waiterFunc(nil)), pacedhttp.Pace(waiterFunc(nil))}, nil},
		"Pace above Retry":        {[]pacedhttp.Middleware{pace, retry}, []string{"Pace is above Retry"}},
		"behind a foreign layer":  {[]pacedhttp.Middleware{pace, other, retry}, []string{"Pace is above Retry"}},
		"in one middleware":       {[]pacedhttp.Middleware{both}, []string{"Pace is above Retry"}},
		"Fallback below Retry":    {[]pacedhttp.Middleware{retry, other, fallback}, []string{"Fallback is below Retry"}},
		"two Retry layers":        {[]pacedhttp.Middleware{retry, other, retry}, []string{"two Retry layers"}},
		"three Retry layers":      {[]pacedhttp.Middleware{retry, retry, retry}, []string{"two Retry layers"}},
		"one pacer twice":         {[]pacedhttp.Middleware{retry, pace, other, pace}, []string{"the same Waiter"}},
		"a pacer and its Parent":  {[]pacedhttp.Middleware{retry, pace, pacedhttp.Pace(pacer.Must(pacer.Config{Parent: pacer.Must(pacer.Config{Parent: quota})}))}, []string{"a pacer and its Parent"}},
		"two children":            {[]pacedhttp.Middleware{retry, pacedhttp.Pace(pacer.Must(pacer.Config{Parent: quota})), pacedhttp.Pace(pacer.Must(pacer.Config{Parent: quota}))}, nil},
		"a hook below Retry":      {[]pacedhttp.Middleware{retry, told}, []string{"Observe or Log is below Retry"}},
		"Log below Retry":         {[]pacedhttp.Middleware{retry, pacedhttp.Log(nil)}, []string{"Observe or Log is below Retry"}},
		"Cost below Pace":         {[]pacedhttp.Middleware{retry, pace, other, costing(1)}, []string{"Cost is below Pace"}},
		"Cost below Retry":        {[]pacedhttp.Middleware{retry, costing(1), pacedhttp.Pace(tokens)}, nil},
		"a unit of nobody's":      {[]pacedhttp.Middleware{costing(1), retry, pace}, []string{`Cost is in "tokens", which no pacer below limits; they limit []`}},
		"a unit of another's":     {[]pacedhttp.Middleware{pacedhttp.Cost("tokns", func(*http.Request) int { return 1 }), costing(1), retry, pace, pacedhttp.Pace(tokens)}, []string{`Cost is in "tokns", which no pacer below limits; they limit ["tokens"]`}},
		"a unit of a Parent's":    {[]pacedhttp.Middleware{costing(1), retry, pacedhttp.Pace(pacer.Must(pacer.Config{Parent: pacer.Must(pacer.Config{Parent: tokens})}))}, nil},
		"a unit of who knows":     {[]pacedhttp.Middleware{costing(1), retry, pace, pacedhttp.PaceBy(func(*http.Request) pacedhttp.Waiter { return quota })}, nil},
		"a unit of no pacer's":    {[]pacedhttp.Middleware{costing(1), retry, pacedhttp.Pace(waiterFunc(nil))}, nil},
		"several":                 {[]pacedhttp.Middleware{pace, retry, fallback, pace}, []string{"Pace is above Retry", "Fallback is below Retry", "the same Waiter"}},
	} {
		for where, rt := range map[string]*pacedhttp.Transport{
			"one chain":      pacedhttp.New(newScript(), tc.mw...),
			"chain on chain": pacedhttp.New(pacedhttp.New(newScript(), tc.mw...), other),
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				err := rt.Check()
				if tc.want == nil {
					if err != nil {
						t.Errorf("got %v", err)
					}
					return
				}
				found, ok := err.(interface{ Unwrap() []error })
				if !ok || len(found.Unwrap()) != len(tc.want) {
					t.Fatalf("got %v, want %d findings", err, len(tc.want))
				}
				for i, err := range found.Unwrap() {
					if !strings.HasPrefix(err.Error(), "pacedhttp: ") || !strings.Contains(err.Error(), tc.want[i]) {
						t.Errorf("got %v, want %q", err, tc.want[i])
					}
				}
			})
		}
	}
}

// A program's own type may embed a chain, and need not be comparable.
func TestBaseThatEmbedsAChainIsOfAnotherMake(t *testing.T) {
	type client struct {
		*pacedhttp.Transport
		sign func()
	}
	base := client{Transport: pacedhttp.New(newScript(step{status: 204}), pacedhttp.Retry(nil)), sign: func() {}}
	rt := pacedhttp.New(base, pacedhttp.Retry(nil), pacedhttp.Pace(unlimited()))
	if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 204 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
	if err := rt.Check(); err != nil {
		t.Errorf("it cannot know what the type hides, and says %v", err)
	}
}

func TestLogWarnsOnceOfWhatCheckFinds(t *testing.T) {
	var out bytes.Buffer
	rt := pacedhttp.New(newScript(), pacedhttp.Log(logTo(&out, slog.LevelWarn)), pacedhttp.Pace(unlimited()), pacedhttp.Retry(nil))
	for range 3 {
		send(t, rt, newRequest(t, "GET", nil))
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, `level=WARN msg="layers in a wrong order" error="pacedhttp: Pace is above Retry`) {
		t.Errorf("got %s", got)
	}
}

// Which Pace belongs to which Retry.
func TestChainKnowsItsLayersBehindThoseOfAnotherMake(t *testing.T) {
	resolve := func(next http.RoundTripper) http.RoundTripper { // as a load balancer does
		return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
			req = req.Clone(req.Context())
			req.URL.Host, req.Method = "10.0.0.7", "POST"
			return next.RoundTrip(req)
		})
	}
	pace := pacedhttp.Pace(waits(5 * time.Second))
	for name, chain := range map[string]func(http.RoundTripper) http.RoundTripper{
		"one chain": func(base http.RoundTripper) http.RoundTripper {
			return pacedhttp.New(base, timed(time.Second), resolve, pace)
		},
		"two foreign layers": func(base http.RoundTripper) http.RoundTripper {
			return pacedhttp.New(base, timed(time.Second), resolve, resolve, pace, resolve)
		},
		"a chain on a chain": func(base http.RoundTripper) http.RoundTripper {
			return pacedhttp.New(pacedhttp.New(base, resolve, pace), timed(time.Second))
		},
		"a chain on two": func(base http.RoundTripper) http.RoundTripper {
			return pacedhttp.New(pacedhttp.New(pacedhttp.New(base, pace), resolve), timed(time.Second))
		},
		"layers put together by hand": func(base http.RoundTripper) http.RoundTripper { return timed(time.Second)(pace(base)) },
		"a chain that others use too": func(base http.RoundTripper) http.RoundTripper {
			shared := pacedhttp.New(base, resolve, pace)
			pacedhttp.New(shared, pacedhttp.Retry(nil), pacedhttp.Pace(unlimited()))
			rt := pacedhttp.New(shared, timed(time.Second))
			pacedhttp.New(shared, pacedhttp.Retry(nil))
			return rt
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var info pacedhttp.AttemptInfo
				base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
					info, _ = pacedhttp.AttemptFromContext(req.Context())
					return &http.Response{StatusCode: 200}, nil
				}})
				if _, _, err := send(t, chain(base), newRequest(t, "GET", nil)); err != nil {
					t.Error("nothing was sent: ", err)
				}
				if want := (pacedhttp.AttemptInfo{Number: 1, PacedFor: 5 * time.Second}); info != want {
					t.Errorf("the attempt was %+v, want %+v", info, want)
				}
			})
		})
	}
}
