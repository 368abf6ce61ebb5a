package sdks_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stripe/stripe-go/v82"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// "Rate limits": 25 requests a second in a sandbox.
var stripeContest = contest{
	sdk: "stripe-go", call: "POST a payment", calls: 100, workers: 40, limits: "25/s",
	api: func(limits []pacer.Limit) *vendor.API { return stripeAPI(limits, new(ledger)) },
	alone: func(base http.RoundTripper) program {
		backends := stripe.NewBackendsWithConfig(&stripe.BackendConfig{HTTPClient: &http.Client{Transport: base}, LeveledLogger: silent})
		return payments(stripe.NewClient("key", stripe.WithBackends(backends)))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		return payments(sdks.Stripe(pacer.Must(quota), base, "key", stripe.BackendConfig{LeveledLogger: silent}))
	},
}

var silent = &stripe.LeveledLogger{Level: stripe.LevelNull}

// payments are created, by a POST.
func payments(client *stripe.Client) program {
	return func(ctx context.Context, call int) error {
		_, err := client.V1PaymentIntents.Create(ctx, &stripe.PaymentIntentCreateParams{
			Amount:   stripe.Int64(int64(100 + call)),
			Currency: stripe.String(stripe.CurrencyEUR),
		})
		return err
	}
}

// A ledger has the payments that were made: one for each idempotency key, however often it came.
type ledger struct {
	mu       sync.Mutex
	payments map[string]int // how many requests there were with that key
}

func (l *ledger) pay(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.payments == nil {
		l.payments = map[string]int{}
	}
	l.payments[key]++
}

func stripeAPI(limits []pacer.Limit, paid *ledger) *vendor.API {
	say := func(w http.ResponseWriter, status int, fault string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{%s}}`, fault)
	}
	return &vendor.API{
		Limits: limits,
		Refuse: func(w http.ResponseWriter, _ vendor.Refusal) {
			w.Header().Set("Stripe-Rate-Limited-Reason", "global-rate")
			say(w, http.StatusTooManyRequests, `"type":"invalid_request_error","code":"rate_limit","message":"Request rate limit exceeded."`)
		},
		Fail: func(w http.ResponseWriter, r *vendor.Request) {
			paid.pay(r.Header.Get("Idempotency-Key")) // which only the answer hides
			say(w, http.StatusServiceUnavailable, `"type":"api_error","message":"Try again."`)
		},
		Answer: func(w http.ResponseWriter, r *vendor.Request) {
			time.Sleep(100 * time.Millisecond)
			paid.pay(r.Header.Get("Idempotency-Key"))
			fmt.Fprint(w, `{"id":"pi_1","object":"payment_intent"}`)
		},
	}
}

func TestStripesPaymentsThatAreSentAgainAreMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var paid ledger
		api := stripeAPI(parse(t, "25/s"), &paid)
		api.Flaps = 2
		base, stop := vendor.Serve(api)
		defer stop()
		pay := payments(sdks.Stripe(pacer.Burst(25, time.Second), base, "key", stripe.BackendConfig{LeveledLogger: silent}))
		const calls = 20
		for call := range calls {
			if err := pay(t.Context(), call); err != nil {
				t.Errorf("call %d: %v", call, err)
			}
		}
		sent := 0
		for _, n := range paid.payments {
			sent += n
		}
		if len(paid.payments) != calls || sent != calls+calls/2 {
			t.Errorf("%d payments by %d requests, want %d by %d", len(paid.payments), sent, calls, calls+calls/2)
		}
	})
}

func TestStripesLockTimeoutHoldsNobodyElseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		base, stop := vendor.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if requests++; requests == 1 {
				w.WriteHeader(http.StatusTooManyRequests)
				fmt.Fprint(w, `{"error":{"type":"invalid_request_error","code":"lock_timeout"}}`)
				return
			}
			fmt.Fprint(w, `{"id":"pi_1","object":"payment_intent"}`)
		}))
		defer stop()
		quota := pacer.Burst(25, time.Second)
		pay := payments(sdks.Stripe(quota, base, "key", stripe.BackendConfig{LeveledLogger: silent}))
		if err := pay(t.Context(), 0); err != nil || requests != 2 {
			t.Errorf("%v after %d requests", err, requests)
		}
		if s := quota.Stats(); s.State != pacer.StateFlowing || !s.PausedUntil.IsZero() {
			t.Errorf("the pacer is %v until %v", s.State, s.PausedUntil)
		}
	})
}

// Three attempts of four attempts would be twelve.
func TestStripesOwnRetryerRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		base, stop := vendor.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			requests++
			panic(http.ErrAbortHandler)
		}))
		defer stop()
		pay := payments(sdks.Stripe(pacer.Burst(25, time.Second), base, "key", stripe.BackendConfig{LeveledLogger: silent}))
		if err := pay(t.Context(), 0); err == nil || requests != 4 {
			t.Errorf("%d requests, want Retry's 4, and %v", requests, err)
		}
	})
}

func ExampleStripe() {
	limits, err := pacer.ParseLimits("25/s") // of a sandbox
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(stripeAPI(limits, new(ledger))) // in your program: nil
	defer stop()

	quota := pacer.Must(pacer.Config{Limits: limits, Outage: &pacer.Outage{}})
	client := sdks.Stripe(quota, base, "sk_test_key", stripe.BackendConfig{})
	payment, err := client.V1PaymentIntents.Create(context.Background(), &stripe.PaymentIntentCreateParams{
		Amount:   stripe.Int64(1999),
		Currency: stripe.String(stripe.CurrencyEUR),
	})
	fmt.Println(payment.ID, err, quota.Stats().Granted, "slot")
	// Output:
	// pi_1 <nil> 1 slot
}
