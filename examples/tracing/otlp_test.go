package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

// A receiver is a collector that keeps what it is sent by OTLP over HTTP.
type receiver struct {
	mu      sync.Mutex
	scopes  map[string]bool
	spans   []*tracepb.Span
	metrics map[string]bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil || req.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not OTLP over HTTP in protobuf", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch req.URL.Path {
	case "/v1/traces":
		var batch collectortrace.ExportTraceServiceRequest
		err = proto.Unmarshal(body, &batch)
		for _, rs := range batch.GetResourceSpans() {
			for _, scope := range rs.GetScopeSpans() {
				r.scopes[scope.GetScope().GetName()+" "+scope.GetScope().GetVersion()] = true
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
	case "/v1/metrics":
		var batch collectormetrics.ExportMetricsServiceRequest
		err = proto.Unmarshal(body, &batch)
		for _, rm := range batch.GetResourceMetrics() {
			for _, scope := range rm.GetScopeMetrics() {
				for _, m := range scope.GetMetrics() {
					r.metrics[m.GetName()] = true
				}
			}
		}
	default:
		http.NotFound(w, req)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// TestTreeArrivesByOTLP runs the show with exporters and looks at what a collector gets.
func TestTreeArrivesByOTLP(t *testing.T) {
	collector := &receiver{scopes: map[string]bool{}, metrics: map[string]bool{}}
	srv := httptest.NewServer(collector)
	defer srv.Close()
	t.Setenv(endpointVariable, srv.URL)
	var out strings.Builder
	if err := run(context.Background(), &out, picture{width: 80}, os.Getenv); err != nil {
		t.Fatal(err)
	}
	if out.String() != "exported to "+srv.URL+"\n" {
		t.Errorf("printed %q", out.String())
	}

	if !collector.scopes[otelpacedhttp.ScopeName+" "+otelpacedhttp.Version] {
		t.Errorf("scopes %v", collector.scopes)
	}
	var trees []string
	for _, s := range collector.spans {
		if len(s.GetParentSpanId()) == 0 {
			trees = append(trees, collector.tree(s))
		}
	}
	slices.Sort(trees)
	const steady = "call(GET 200(serve /steady))"
	want := []string{
		"program(" + steady + ")",
		"program(call(GET 429!(serve /throttled) GET 200+1(serve /throttled)))",
		"program(call(GET 503!(serve /down) GET 503!+1(serve /down) GET 503!+2(serve /down) GET 200+3(serve /down)))",
		"program(call(GET 503!(serve /flaky) GET 503!+1(serve /flaky) GET 200+2(serve /flaky)))",
		"program, 4 at once(" + strings.Join([]string{steady, steady, steady, steady}, " ") + ")",
	}
	slices.Sort(want)
	if !slices.Equal(trees, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(trees, "\n"), strings.Join(want, "\n"))
	}

	for _, name := range []string{"http.client.request.duration", "pacedhttp.call.duration", "pacedhttp.call.retries", "pacedhttp.call.retry_delay",
		"pacedhttp.pacing.request.time_in_queue", "pacedhttp.pacing.request.queued", "pacedhttp.retry.denials", "pacedhttp.fallbacks"} {
		if !collector.metrics[name] {
			t.Errorf("%s did not arrive", name)
		}
	}
}

func TestInterruptedShowExportsWhatThereWas(t *testing.T) {
	collector := &receiver{scopes: map[string]bool{}, metrics: map[string]bool{}}
	srv := httptest.NewServer(collector)
	defer srv.Close()
	t.Setenv(endpointVariable, srv.URL)
	if err := interrupted(t, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want that of the interruption", err)
	}
	if len(collector.spans) == 0 || !collector.metrics["pacedhttp.call.duration"] {
		t.Errorf("%d spans and metrics %v arrived", len(collector.spans), collector.metrics)
	}
}

// tree writes a span and those below it in one line: status, "!" for an error, "+n" for a resend count.
func (r *receiver) tree(s *tracepb.Span) string {
	text := strings.TrimPrefix(s.GetName(), "pacedhttp.")
	var resend string
	for _, a := range s.GetAttributes() {
		switch a.GetKey() {
		case "http.response.status_code":
			text += " " + strconv.FormatInt(a.GetValue().GetIntValue(), 10)
		case "http.request.resend_count":
			resend = "+" + strconv.FormatInt(a.GetValue().GetIntValue(), 10)
		}
	}
	if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		text += "!"
	}
	text += resend
	var below []*tracepb.Span
	for _, c := range r.spans {
		if string(c.GetParentSpanId()) == string(s.GetSpanId()) && string(c.GetTraceId()) == string(s.GetTraceId()) {
			below = append(below, c)
		}
	}
	if len(below) == 0 {
		return text
	}
	slices.SortFunc(below, func(a, b *tracepb.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	var parts []string
	for _, c := range below {
		parts = append(parts, r.tree(c))
	}
	return text + "(" + strings.Join(parts, " ") + ")"
}
