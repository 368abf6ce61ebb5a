package sdks_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pacedhttp/pacedhttp/examples/sdks"
	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A service of one's own that allows 20 calls a second.
var connectContest = contest{
	sdk: "connect-go", call: "POST that has no side effects", calls: 80, workers: 40, limits: "20/s",
	api: connectAPI,
	alone: func(base http.RoundTripper) program {
		return greetings(&http.Client{Transport: base}, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	},
	paced: func(base http.RoundTripper, quota pacer.Config) program {
		client, again := sdks.Connect(pacer.Must(quota), base)
		return greetings(client, again, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	},
}

const greet = "/greet.v1.GreetService/Greet"

// A greeting is what protoc-gen-connect-go makes of a service with one procedure, whose
// idempotency_level it gives as an option too.
type greeting = connect.Client[wrapperspb.StringValue, wrapperspb.StringValue]

func newGreeting(client connect.HTTPClient, opts ...connect.ClientOption) *greeting {
	return connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](client, "http://greet.example"+greet, opts...)
}

func greetings(client connect.HTTPClient, opts ...connect.ClientOption) program {
	service := newGreeting(client, opts...)
	return func(ctx context.Context, call int) error {
		name := fmt.Sprint("number ", call)
		answer, err := service.CallUnary(ctx, connect.NewRequest(wrapperspb.String(name)))
		if err == nil && answer.Msg.GetValue() != "Hello, "+name {
			err = fmt.Errorf("got %q", answer.Msg.GetValue())
		}
		return err
	}
}

func connectAPI(limits []pacer.Limit) *vendor.API {
	say := func(w http.ResponseWriter, status int, code connect.Code) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q}`, code)
	}
	service := connect.NewUnaryHandler(greet, func(_ context.Context, req *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
		time.Sleep(100 * time.Millisecond)
		return connect.NewResponse(wrapperspb.String("Hello, " + req.Msg.GetValue())), nil
	})
	return &vendor.API{
		Limits: limits,
		Refuse: func(w http.ResponseWriter, r vendor.Refusal) {
			w.Header().Set("Retry-After", strconv.Itoa(int((r.Wait+time.Second-1)/time.Second)))
			say(w, http.StatusTooManyRequests, connect.CodeResourceExhausted)
		},
		Fail: func(w http.ResponseWriter, _ *vendor.Request) {
			say(w, http.StatusServiceUnavailable, connect.CodeUnavailable)
		},
		Answer: func(w http.ResponseWriter, r *vendor.Request) {
			r.Request.Body = io.NopCloser(bytes.NewReader(r.Body))
			service.ServeHTTP(w, r.Request)
		},
	}
}

// Only the schema knows.
func TestConnectsCallIsRepeatedAfterA503OnlyWhereItsSchemaSaysSo(t *testing.T) {
	for level, want := range map[connect.IdempotencyLevel]int{
		connect.IdempotencyUnknown:       1,
		connect.IdempotencyIdempotent:    2,
		connect.IdempotencyNoSideEffects: 2,
	} {
		synctest.Test(t, func(t *testing.T) {
			api := connectAPI(nil)
			api.Flaps = 1
			base, stop := vendor.Serve(api)
			defer stop()
			client, again := sdks.Connect(pacer.Burst(20, time.Second), base)
			err := greetings(client, again, connect.WithIdempotency(level))(t.Context(), 0)
			if got := api.Tally().Requests; got != want || (err == nil) != (want == 2) {
				t.Errorf("%v: %d requests, want %d, and %v", level, got, want, err)
			}
		})
	}
}

func ExampleConnect() {
	limits, err := pacer.ParseLimits("20/s")
	if err != nil {
		panic(err)
	}
	base, stop := vendor.Serve(connectAPI(limits)) // in your program: nil
	defer stop()

	quota := pacer.Must(pacer.Config{Limits: limits, Outage: &pacer.Outage{}})
	client, again := sdks.Connect(quota, base)
	// In your program: greetv1connect.NewGreetServiceClient(client, url, again)
	service := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](client, "http://greet.example"+greet, again)
	answer, err := service.CallUnary(context.Background(), connect.NewRequest(wrapperspb.String("Ada")))
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.Msg.GetValue())
	fmt.Println(quota.Stats().Granted, "slot")
	// Output:
	// Hello, Ada
	// 1 slot
}
