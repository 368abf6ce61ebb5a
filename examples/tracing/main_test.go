package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestShowTellsEachStory runs the whole show: timing is real, so only what does not depend on it is checked.
func TestShowTellsEachStory(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, picture{width: 100}, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for what, want := range map[string]string{
		"an attempt that failed":    "error 503",
		"a second retry":            "200  resend 2",
		"throttling":                "error 429",
		"the fallback's attempt":    "200  resend 3",
		"the call that fell back":   "reason max_attempts  fallback true",
		"the server's side":         "serve /flaky",
		"requests at once":          "program, 4 at once",
		"a metric of the queue":     "pacedhttp.pacing.request.time_in_queue  pacing.result=acquired",
		"a metric of the fallbacks": "pacedhttp.fallbacks",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s (%q) is not shown", what, want)
		}
	}
	if traces := strings.Count(got, "\nprogram"); traces != 5 {
		t.Errorf("%d traces, want 5", traces)
	}
	if t.Failed() {
		t.Log("\n" + got)
	}
}

// TestInterruptedShowTellsWhatThereWas is Ctrl-C: the calls end, the telemetry does not.
func TestInterruptedShowTellsWhatThereWas(t *testing.T) {
	t.Setenv(endpointVariable, "")
	var out strings.Builder
	if err := interrupted(t, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want that of the interruption", err)
	}
	if got := out.String(); !strings.Contains(got, "\nprogram") || !strings.Contains(got, "pacedhttp.call.duration") {
		t.Errorf("showed %q", got)
	}
}

// interrupted is the show, interrupted by its third call when that reaches the server.
func interrupted(t *testing.T, out io.Writer) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tel, err := newTelemetry(ctx, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	tel.tracers.RegisterSpanProcessor(interrupter{tracetest.NewSpanRecorder(), cancel})
	return show(ctx, tel, out, picture{width: 100})
}

type interrupter struct {
	sdktrace.SpanProcessor
	interrupt func()
}

func (i interrupter) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	if s.Name() == "serve /throttled" {
		i.interrupt()
	}
}
