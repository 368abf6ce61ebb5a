// Command tracing shows in traces what pacing and retrying did to calls.
//
// It starts two servers on loopback, one with failures and a second to fall back on, makes calls through a paced and retrying
// client, and prints each trace as a waterfall and the metrics as a table:
//
//	go run ./examples/tracing
//
// With OTEL_EXPORTER_OTLP_ENDPOINT set it exports OTLP over HTTP instead, to Jaeger, Tempo or any collector:
//
//	docker run -d -p 16686:16686 -p 4318:4318 jaegertracing/jaeger
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 go run ./examples/tracing
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/internal/timeline"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	width, color := timeline.Fit(os.Stdout, os.Getenv)
	if err := run(ctx, os.Stdout, picture{width: width, color: color}, os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "tracing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, pic picture, getenv func(string) string) error {
	tel, err := newTelemetry(ctx, getenv)
	if err != nil {
		return err
	}
	return show(ctx, tel, out, pic)
}

// show shows what there is to show also when it is interrupted.
func show(ctx context.Context, tel *telemetry, out io.Writer, pic picture) error {
	err := makeCalls(ctx, tel)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, tel.finish(ctx, out, pic))
}

// newClient is all there is to set up.
func newClient(tel *telemetry, backup string) *http.Client {
	instr := otelpacedhttp.New(
		otelpacedhttp.WithTracerProvider(tel.tracers),
		otelpacedhttp.WithMeterProvider(tel.meters),
		otelpacedhttp.WithPropagators(propagation.TraceContext{}),
	)
	second := pacedhttp.New(nil, instr.Attempt)
	return pacedhttp.New(nil,
		instr.Call,
		pacedhttp.Fallback(func(req *http.Request, _ *http.Response, _ error) (*http.Response, error) {
			again, err := http.NewRequestWithContext(req.Context(), req.Method, backup+req.URL.Path, nil)
			if err != nil {
				return nil, err
			}
			return second.RoundTrip(again)
		}),
		pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
			MaxAttempts: 3,
			Backoff:     retrypolicy.Exponential(80*time.Millisecond, time.Second),
		})),
		pacedhttp.Pace(pacer.Drip(20, time.Second)),
		instr.Attempt,
	).Client()
}

// makeCalls makes each call of the show in a trace of its own.
func makeCalls(ctx context.Context, tel *telemetry) error {
	primary, backup := startServer(tel, "primary", primaryScript()), startServer(tel, "backup", nil)
	defer primary.Close()
	defer backup.Close()
	client := newClient(tel, backup.URL)
	defer client.CloseIdleConnections()

	for _, path := range []string{"/steady", "/flaky", "/throttled", "/down"} {
		if err := call(ctx, tel.tracers, client, primary.URL+path); err != nil {
			return err
		}
	}
	return together(ctx, tel.tracers, client, primary.URL+"/steady", 4)
}

// call is what a program does around a request: a span of its own.
func call(ctx context.Context, tracers trace.TracerProvider, client *http.Client, url string) error {
	ctx, span := tracers.Tracer("examples/tracing").Start(ctx, "program")
	defer span.End()
	return get(ctx, client, url)
}

// together makes so many requests at once, which queue for their slots.
func together(ctx context.Context, tracers trace.TracerProvider, client *http.Client, url string, n int) error {
	ctx, span := tracers.Tracer("examples/tracing").Start(ctx, fmt.Sprintf("program, %d at once", n))
	defer span.End()
	errs := make(chan error, n)
	for range n {
		go func() { errs <- get(ctx, client, url) }()
	}
	var err error
	for range n {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		trace.SpanFromContext(ctx).SetStatus(codes.Error, "")
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
