package otelpacedhttp_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestResendCountIsAbsentThenOneThenTwo(t *testing.T) {
	rec, srv := record(t), serve(t, 503, 503, 200)
	get(t, pacedhttp.New(srv.base(t), rec.Call, pacedhttp.Retry(patient()), rec.Attempt), srv.URL)
	spans := rec.attempts(t, 3)
	for i, want := range []any{nil, int64(1), int64(2)} {
		if got := value(spans[i], "http.request.resend_count").AsInterface(); got != want {
			t.Errorf("attempt %d: resend_count = %v, want %v", i+1, got, want)
		}
	}
	// Given at the start, for samplers to see.
	if got := valueOf(rec.sampler.seen["GET"], "http.request.resend_count").AsInterface(); got != int64(2) {
		t.Errorf("the sampler saw resend_count %v", got)
	}
}

// TestRedirectHopsContinueTheResendCount sends 503, 302, 503, 302, 200, with one retry
// allowed in each hop.
func TestRedirectHopsContinueTheResendCount(t *testing.T) {
	for _, tt := range []struct {
		name          string
		call, attempt bool
	}{
		{"both layers", true, true},
		{"attempt alone", false, true},
		{"call alone", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, srv := record(t), serve(t, 503, 302, 503, 302, 200)
			var seen []int
			probe := func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(req *http.Request) (*http.Response, error) {
					seen = append(seen, otelpacedhttp.ResendCount(req.Context()))
					return next.RoundTrip(req)
				})
			}
			mw := []pacedhttp.Middleware{nil, pacedhttp.Retry(patient()), nil, probe}
			if tt.call {
				mw[0] = rec.Call
			}
			if tt.attempt {
				mw[2] = rec.Attempt
			}
			resp, err := pacedhttp.New(srv.base(t), mw...).Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			for i, got := range seen {
				if got != i {
					t.Errorf("send %d: ResendCount = %d, want %d", i+1, got, i)
				}
			}
			if len(seen) != 5 {
				t.Errorf("%d sends, want 5", len(seen))
			}
			if tt.attempt {
				for i, span := range rec.attempts(t, 5) {
					if got := value(span, "http.request.resend_count").AsInt64(); got != int64(i) {
						t.Errorf("attempt %d: resend_count = %d", i+1, got)
					}
				}
			}
		})
	}
}

func TestResendCountIsZeroOutsideOfCalls(t *testing.T) {
	if got := otelpacedhttp.ResendCount(context.Background()); got != 0 {
		t.Errorf("ResendCount = %d", got)
	}
}

func TestResendCountWithoutCallOrAttempt(t *testing.T) {
	var seen []int
	base := answering(503, 503, 200)
	probe := roundTripper(func(req *http.Request) (*http.Response, error) {
		seen = append(seen, otelpacedhttp.ResendCount(req.Context()))
		return base.RoundTrip(req)
	})
	get(t, pacedhttp.New(probe, pacedhttp.Retry(patient())), "http://example.com/")
	if len(seen) != 3 || seen[0] != 0 || seen[1] != 1 || seen[2] != 2 {
		t.Errorf("ResendCounts %v, want [0 1 2]", seen)
	}
}

// TestFallbackWithoutAttemptLayerIsAResend is how it looks to otelhttp.
func TestFallbackWithoutAttemptLayerIsAResend(t *testing.T) {
	rec := record(t, otelpacedhttp.WithoutAttemptTelemetry())
	count := -1
	fallback := pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
		count = otelpacedhttp.ResendCount(req.Context())
		return pacedhttp.StaticResponse(200, nil, nil)(req, nil, nil)
	})
	twice := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 2, Backoff: retrypolicy.Constant(time.Nanosecond)})
	get(t, pacedhttp.New(answering(503), rec.Call, fallback, pacedhttp.Retry(twice), rec.Attempt), "http://example.com/")
	if count != 2 {
		t.Errorf("ResendCount in the fallback = %d, want 2", count)
	}
}

// TestCallWithinAnAttemptCountsForItself is a token that is fetched while an attempt is
// under way, with that attempt's context.
func TestCallWithinAnAttemptCountsForItself(t *testing.T) {
	rec := record(t)
	tokens := pacedhttp.New(answering(200), rec.Call, rec.Attempt)
	authorize := pacedhttp.Prepare(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
		getContext(t, req.Context(), tokens, "http://tokens.example.com/")
		return nil
	})
	get(t, pacedhttp.New(answering(503, 200), rec.Call, pacedhttp.Retry(patient()), authorize, rec.Attempt), "http://example.com/")
	spans := rec.attempts(t, 4)
	for i, want := range []any{nil, nil, nil, int64(1)} {
		if got := value(spans[i], "http.request.resend_count").AsInterface(); got != want {
			t.Errorf("attempt %d: resend_count = %v, want %v", i+1, got, want)
		}
	}
	for i, want := range []int64{1, 1, 2} { // two for tokens, then the one around them
		if got := value(rec.calls(t, 3)[i], "pacedhttp.attempts").AsInt64(); got != want {
			t.Errorf("call %d: %d attempts, want %d", i+1, got, want)
		}
	}
}
