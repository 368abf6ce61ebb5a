package otelpacedhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// flaky is a server that answers twice that it is unavailable before it serves.
func flaky() *httptest.Server {
	failures := 2
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failures > 0 {
			failures--
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
}

// replying is a transport that answers everything with one status.
func replying(status int) http.RoundTripper {
	return pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	})
}

// quickly retries without noticeable delay.
var quickly = retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Millisecond)})

// printSpans prints spans with what the examples are about.
func printSpans(spans []sdktrace.ReadOnlySpan) {
	for _, s := range spans {
		fmt.Print(s.Name())
		attributes := attribute.NewSet(s.Attributes()...)
		for _, key := range []string{"http.request.resend_count", "http.response.status_code", "error.type", "pacedhttp.attempts", "pacedhttp.fallback.used"} {
			if v, ok := attributes.Value(attribute.Key(key)); ok {
				fmt.Printf("  %s=%v", key, v.AsInterface())
			}
		}
		fmt.Println()
	}
}

// With the global providers, which do nothing until the program installs some.
func ExampleNew() {
	srv := flaky()
	defer srv.Close()
	toBackup := pacedhttp.StaticResponse(http.StatusOK, nil, []byte("an older answer"))

	tel := otelpacedhttp.New() // the global providers and propagator, or options
	client := pacedhttp.New(nil,
		tel.Call, // outermost: the call as its caller sees it
		pacedhttp.Fallback(toBackup),
		pacedhttp.Retry(nil),
		pacedhttp.Pace(pacer.Drip(20, time.Second)),
		tel.Attempt, // innermost: every send, with a traceparent of its own
	).Client()
	defer client.CloseIdleConnections()

	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// Call outermost, Attempt innermost: the trace shows the call and every try.
func Example() {
	srv := flaky()
	defer srv.Close()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))

	tel := otelpacedhttp.New(otelpacedhttp.WithTracerProvider(provider)) // or the global one
	client := pacedhttp.New(nil,
		tel.Call,
		pacedhttp.Retry(quickly),
		pacedhttp.Pace(pacer.Burst(100, time.Second)),
		tel.Attempt,
	).Client()
	defer client.CloseIdleConnections()

	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	printSpans(spans.Ended())
	// Output:
	// GET  http.response.status_code=503  error.type=503
	// GET  http.request.resend_count=1  http.response.status_code=503  error.type=503
	// GET  http.request.resend_count=2  http.response.status_code=200
	// pacedhttp.call  pacedhttp.attempts=3
}

// A static fallback sends nothing: it shows on the call only, whose status is what the
// caller got.
func ExampleInstrumentation_Call() {
	spans := tracetest.NewSpanRecorder()
	tel := otelpacedhttp.New(otelpacedhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))))
	rt := pacedhttp.New(replying(http.StatusInternalServerError),
		tel.Call,
		pacedhttp.Fallback(pacedhttp.StaticResponse(http.StatusOK, nil, []byte("cached"))),
		tel.Attempt,
	)
	resp, err := rt.Client().Get("http://api.example.com/")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	printSpans(spans.Ended())
	// Output:
	// GET  http.response.status_code=500  error.type=500
	// pacedhttp.call  pacedhttp.attempts=1  pacedhttp.fallback.used=true
}

// Attempt alone makes spans of sends, and writes the trace context into their headers.
func ExampleInstrumentation_Attempt() {
	spans := tracetest.NewSpanRecorder()
	tel := otelpacedhttp.New(
		otelpacedhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
		otelpacedhttp.WithURLTemplate(func(*http.Request) string { return "/users/{id}" }),
	)
	rt := pacedhttp.New(replying(http.StatusOK), tel.Attempt)
	resp, err := rt.Client().Get("http://api.example.com/users/7?sig=secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	span := spans.Ended()[0]
	fmt.Println(span.Name())
	attributes := attribute.NewSet(span.Attributes()...)
	url, _ := attributes.Value("url.full")
	fmt.Println(url.AsString())
	// Output:
	// GET /users/{id}
	// http://api.example.com/users/7?sig=REDACTED
}

// The numbers of a pacer, as they are whenever metrics are collected.
func Example_observePacer() {
	reader := sdkmetric.NewManualReader() // or one that exports
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tel := otelpacedhttp.New(otelpacedhttp.WithMeterProvider(meters))

	limits, _ := pacer.ParseLimits("5000/h, 90000 tokens/h")
	p := pacer.Must(pacer.Config{Limits: limits, MaxInFlight: 10})
	stop := tel.ObservePacer("api.example.com", p.Stats)
	defer stop()

	slot, _ := p.Acquire(pacer.WithCost(context.Background(), "tokens", 700))
	defer slot.Done()

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			for _, point := range sum.DataPoints {
				limit, _ := point.Attributes.Value("pacedhttp.pacer.limit.name")
				state, _ := point.Attributes.Value("pacedhttp.pacer.state")
				fmt.Println(m.Name, limit.AsString()+state.AsString(), point.Value)
			}
		}
	}
	// Unordered output:
	// pacedhttp.pacer.waiting  0
	// pacedhttp.pacer.in_flight  1
	// pacedhttp.pacer.used 5000/h 1
	// pacedhttp.pacer.used 90000 tokens/h 700
	// pacedhttp.pacer.limit 5000/h 5000
	// pacedhttp.pacer.limit 90000 tokens/h 90000
	// pacedhttp.pacer.state flowing 1
	// pacedhttp.pacer.state paused 0
	// pacedhttp.pacer.state probing 0
	// pacedhttp.pacer.state down 0
}

// Another instrumentation of attempts learns here what it cannot know: that a request is
// sent again.
func ExampleResendCount() {
	tel := otelpacedhttp.New(otelpacedhttp.WithoutAttemptTelemetry())
	other := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		n := otelpacedhttp.ResendCount(req.Context())
		if n > 0 {
			fmt.Println("sent again:", n)
		}
		if n < 2 {
			return replying(http.StatusServiceUnavailable).RoundTrip(req)
		}
		return replying(http.StatusOK).RoundTrip(req)
	})
	rt := pacedhttp.New(other, tel.Call, pacedhttp.Retry(quickly))
	req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://api.example.com/", nil)
	if _, err := rt.RoundTrip(req); err != nil {
		fmt.Println(err)
	}
	// Output:
	// sent again: 1
	// sent again: 2
}
