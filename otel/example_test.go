package otelpacedhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

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

// quickly retries without noticeable delay.
var quickly = retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(time.Millisecond)})

// printSpans prints spans with what the examples are about.
func printSpans(spans []sdktrace.ReadOnlySpan) {
	for _, s := range spans {
		fmt.Print(s.Name())
		for _, key := range []string{"http.request.resend_count", "http.response.status_code", "error.type", "pacedhttp.attempts", "pacedhttp.fallback.used"} {
			if v := value(s, key); v.AsInterface() != nil {
				fmt.Printf("  %s=%v", key, v.AsInterface())
			}
		}
		fmt.Println()
	}
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
	rt := pacedhttp.New(answering(http.StatusInternalServerError),
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
	rt := pacedhttp.New(answering(http.StatusOK), tel.Attempt)
	resp, err := rt.Client().Get("http://api.example.com/users/7?sig=secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	span := spans.Ended()[0]
	fmt.Println(span.Name())
	fmt.Println(value(span, "url.full").AsString())
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
	base := answering(503, 503, 200)
	other := roundTripper(func(req *http.Request) (*http.Response, error) {
		if n := otelpacedhttp.ResendCount(req.Context()); n > 0 {
			fmt.Println("sent again:", n)
		}
		return base.RoundTrip(req)
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
