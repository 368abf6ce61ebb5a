package main

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

// TestAWorkerEndsWithItsInput is what becomes of a worker whose parent was killed.
func TestAWorkerEndsWithItsInput(t *testing.T) {
	redis, err := openStore(t.Context(), "", noRedis)
	if err != nil {
		t.Fatal(err)
	}
	defer redis.close()
	cfg := config{Config: demo.Config{Quota: 1, Period: time.Minute}}
	server := httptest.NewServer(newAPI(cfg))
	defer server.Close()

	in, orders := io.Pipe()
	reports, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- work(in, out) }()
	say, hear := json.NewEncoder(orders), json.NewDecoder(reports)
	expect := func(want report) {
		t.Helper()
		var got report
		if err := hear.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if want.Error != "" && strings.Contains(got.Error, want.Error) {
			got.Error = want.Error
		}
		if want.Event == done {
			got.RoundTrips = 0
		}
		if got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}

	say.Encode(job{
		Redis: redis.addr, Key: t.Name(), Quota: cfg.Quota, Period: cfg.Period,
		URL: server.URL, First: 2, Step: 3, Calls: 7, Goroutines: 1,
	})
	expect(report{Event: ready})
	say.Encode(true)
	expect(report{Event: begin, Call: 2})
	expect(report{Event: end, Call: 2, Status: 200})
	expect(report{Event: begin, Call: 5}) // waits for a minute
	orders.Close()
	expect(report{Event: end, Call: 5, Error: "context canceled"})
	expect(report{Event: done})
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAWorkerWithoutAJobSaysSo(t *testing.T) {
	if err := work(strings.NewReader(""), io.Discard); err == nil || !strings.Contains(err.Error(), "no job") {
		t.Errorf("got %v", err)
	}
	nobody := closedAddr(t)
	if err := work(strings.NewReader(`{"Redis":"`+nobody+`"}`), io.Discard); err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("got %v", err)
	}
}
