package retrypolicy

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestAskedDelayIsNeverShortenedAndJitterIsAtMostATenth(t *testing.T) {
	for _, c := range []struct {
		name    string
		backoff time.Duration
		header  string
		low     time.Duration
	}{
		{"asked for more than the backoff", time.Second, "10", 10 * time.Second},
		{"asked for less than the backoff", 20 * time.Second, "10", 20 * time.Second},
	} {
		p := Must(Config{Backoff: Constant(c.backoff)})
		seen := map[time.Duration]bool{}
		for range draws {
			d := p.Next(t.Context(), answered("POST", 429, "Retry-After", c.header))
			if !d.Retry || d.Delay < c.low || d.Delay > c.low+c.low/10 {
				t.Fatalf("%s: %+v, want %v to a tenth more", c.name, d, c.low)
			}
			seen[d.Delay] = true
		}
		if len(seen) < draws/2 {
			t.Errorf("%s: %d different delays of %d", c.name, len(seen), draws)
		}
	}
}

func TestAskedDelayCountsForEveryRetriedStatus(t *testing.T) {
	p := Must(Config{Backoff: Constant(0)})
	for _, status := range []int{408, 413, 425, 429, 500, 502, 503, 504, 403, 520, 524, 529} {
		if d := p.Next(t.Context(), answered("GET", status, "Retry-After", "7")); d.Delay < 7*time.Second {
			t.Errorf("%d: %+v, want at least 7s", status, d)
		}
	}
}

func TestZeroOrPastRetryAfterIsNoDelay(t *testing.T) {
	p := Must(Config{ThrottleBackoff: Constant(3 * time.Second)})
	for _, v := range []string{"0", "-5", "Sun, 06 Nov 1994 08:49:37 GMT"} {
		if d := p.Next(t.Context(), answered("POST", 429, "Retry-After", v)); !d.Retry || d.Delay != 3*time.Second {
			t.Errorf("Retry-After %s: %+v, want 3s", v, d)
		}
	}
}

func TestDelaySaturates(t *testing.T) {
	for _, backoff := range []time.Duration{0, math.MaxInt64} {
		p := Must(Config{Backoff: Constant(backoff), MaxRetryAfter: math.MaxInt64})
		d := p.Next(t.Context(), answered("POST", 429, "Retry-After", "99999999999999999999"))
		if !d.Retry || d.Delay != math.MaxInt64 {
			t.Errorf("backoff %v: %+v, want the longest delay there is", backoff, d)
		}
	}
}

func TestServerThatRefusesWithoutADelayEndsADefaultCallAfterSevenSeconds(t *testing.T) {
	for _, status := range []int{429, 529} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var at []time.Duration
			a := answered("POST", status)
			for {
				at = append(at, time.Since(began))
				d := Default().Next(t.Context(), a)
				if !d.Retry {
					if d.Reason != ReasonMaxAttempts {
						t.Errorf("%d: %+v", status, d)
					}
					break
				}
				d.Wait(t.Context())
				a.Number, a.Previous = a.Number+1, d.Delay
			}
			if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(at, want) {
				t.Errorf("%d: attempts at %v, want %v", status, at, want)
			}
		})
	}
}

func TestThrottleBackoffDoublesUpToAMinute(t *testing.T) {
	p := Must(Config{MaxAttempts: 1000})
	for number, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 8: 60, 64: 60, 999: 60} {
		a := answered("GET", 429)
		a.Number = number
		if d := p.Next(t.Context(), a); d.Delay != want*time.Second {
			t.Errorf("after attempt %d: %v, want %d s", number, d.Delay, want)
		}
	}
}

func TestThrottleBackoffIsForThrottlingWithoutADelayAlone(t *testing.T) {
	var asked []int
	p := Must(Config{
		Backoff: Constant(time.Second),
		ThrottleBackoff: BackoffFunc(func(retry int, previous time.Duration) time.Duration {
			asked = append(asked, retry)
			return previous + 2*time.Second
		}),
		Classify: First(Errors(Throttled, errBoom), DefaultClassifier),
	})
	for name, c := range map[string]struct {
		a        Attempt
		low, top time.Duration
	}{
		"429":                  {answered("GET", 429), 5 * time.Second, 5 * time.Second},
		"429, zero":            {answered("GET", 429, "Retry-After", "0"), 5 * time.Second, 5 * time.Second},
		"503, zero":            {answered("GET", 503, "Retry-After", "0"), 5 * time.Second, 5 * time.Second},
		"an error":             {failed(nil), 5 * time.Second, 5 * time.Second},
		"under Do":             {Attempt{Err: errBoom, Replayable: true}, 5 * time.Second, 5 * time.Second},
		"429 with a delay":     {answered("GET", 429, "Retry-After", "20"), 20 * time.Second, 22 * time.Second},
		"503 without":          {answered("GET", 503), time.Second, time.Second},
		"413 with one of zero": {answered("GET", 413, "Retry-After", "0"), time.Second, time.Second},
	} {
		c.a.Number, c.a.Previous = 2, 3*time.Second
		if d := p.Next(t.Context(), c.a); !d.Retry || d.Delay < c.low || d.Delay > c.top {
			t.Errorf("%s: %+v, want from %v to %v", name, d, c.low, c.top)
		}
	}
	if len(asked) != 5 || slices.Max(asked) != 2 || slices.Min(asked) != 2 {
		t.Errorf("ThrottleBackoff was asked for retries %v", asked)
	}
}

func TestPacedAttemptWaitsForNothingMore(t *testing.T) {
	for name, a := range map[string]Attempt{
		"a delay":                   answered("POST", 429, "Retry-After", "20"),
		"more than MaxRetryAfter":   answered("POST", 429, "Retry-After", "3600"),
		"no delay":                  answered("POST", 429),
		"a 503 that asks for a day": answered("GET", 503, "Retry-After", "86400"),
	} {
		a.Paced = true
		p := Must(Config{Backoff: Constant(time.Hour), ThrottleBackoff: Constant(time.Hour), MaxElapsed: time.Minute})
		if d := p.Next(t.Context(), a); !d.Retry || d.Delay != 0 || d.Verdict != Throttled {
			t.Errorf("%s: %+v", name, d)
		}
		a.Elapsed = time.Minute + 1
		if d := p.Next(t.Context(), a); d.Reason != ReasonMaxElapsed {
			t.Errorf("%s, too late: %+v", name, d)
		}
		a.Elapsed, a.Number = 0, 4
		if d := p.Next(t.Context(), a); d.Reason != ReasonMaxAttempts {
			t.Errorf("%s, the last: %+v", name, d)
		}
	}
}

// delayed is a ServerDelay that answers d, ok.
func delayed(d time.Duration, ok bool) func(*http.Response, time.Time) (time.Duration, bool) {
	return func(*http.Response, time.Time) (time.Duration, bool) { return d, ok }
}

func TestServerDelayIsWhoseDelayCounts(t *testing.T) {
	for name, c := range map[string]struct {
		delay func(*http.Response, time.Time) (time.Duration, bool)
		want  time.Duration
		said  bool
	}{
		"none":             {nil, 20 * time.Second, true},
		"a delay":          {delayed(7*time.Second, true), 7 * time.Second, true},
		"zero":             {delayed(0, true), 0, true},
		"nothing said":     {delayed(7*time.Second, false), 0, false},
		"a negative delay": {delayed(-7*time.Second, true), 0, false},
		"a day too long":   {delayed(math.MaxInt64, true), math.MaxInt64, true},
	} {
		p := Must(Config{ServerDelay: c.delay})
		if d, ok := p.RetryAfter(response(503, "Retry-After", "20"), time.Now()); d != c.want || ok != c.said {
			t.Errorf("%s: RetryAfter is %v, %v", name, d, ok)
		}
		verdict := Transient
		if c.said {
			verdict = Throttled
		}
		if v := p.Classify(answered("GET", 503, "Retry-After", "20")); v != verdict {
			t.Errorf("%s: 503 is %v, want %v", name, v, verdict)
		}
		d := p.Next(t.Context(), answered("POST", 429, "Retry-After", "20"))
		switch {
		case c.want > time.Minute:
			if d.Reason != ReasonRetryAfterTooLong {
				t.Errorf("%s: %+v", name, d)
			}
		case c.want == 0:
			if d.Delay != time.Second {
				t.Errorf("%s: %+v, want ThrottleBackoff's", name, d)
			}
		case d.Delay < c.want || d.Delay > c.want+c.want/10:
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestServerDelayIsAskedAboutTheResponse(t *testing.T) {
	asked := 0
	want := response(403)
	p := Must(Config{ServerDelay: func(resp *http.Response, now time.Time) (time.Duration, bool) {
		asked++
		if resp != want || time.Since(now) < 0 {
			t.Errorf("asked about %v at %v", resp, now)
		}
		return time.Second, true
	}})
	if v := p.Classify(Attempt{Response: want}); v != Throttled || asked != 1 {
		t.Errorf("%v, asked %d times", v, asked)
	}
	// By itself, and inside a Classifier of the program's own, the default goes by the header.
	if v := DefaultClassifier(Attempt{Response: want}); v != Accept || asked != 1 {
		t.Errorf("%v, asked %d times", v, asked)
	}
	p = Must(Config{ServerDelay: delayed(time.Second, true), Classify: First(DefaultClassifier)})
	if v := p.Classify(Attempt{Response: want}); v != Accept {
		t.Errorf("in a Classifier: %v", v)
	}
}

func TestRetryAfterOfNothing(t *testing.T) {
	p := Must(Config{ServerDelay: delayed(time.Second, true)})
	if d, ok := p.RetryAfter(nil, time.Now()); d != 0 || ok {
		t.Errorf("no response: %v, %v", d, ok)
	}
	if d, ok := (*Policy)(nil).RetryAfter(response(429, "Retry-After", "3"), time.Now()); d != 3*time.Second || !ok {
		t.Errorf("no policy: %v, %v", d, ok)
	}
}

func TestPanicOfServerDelayPassesThrough(t *testing.T) {
	p := Must(Config{ServerDelay: func(*http.Response, time.Time) (time.Duration, bool) { panic(errBoom) }})
	defer func() {
		if v := recover(); v != errBoom {
			t.Errorf("recovered %v", v)
		}
	}()
	p.Next(t.Context(), answered("GET", 429))
}

// What a call that a server throttles waits in all, by Do.
func TestThrottledFunctionWithoutADelayWaitsAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := Do(t.Context(), Must(Config{Classify: Errors(Throttled, errBoom)}), func(context.Context) (int, error) { return 0, errBoom })
		if took := time.Since(began); took != 7*time.Second || !errors.Is(err, errBoom) {
			t.Errorf("took %v: %v", took, err)
		}
	})
}
