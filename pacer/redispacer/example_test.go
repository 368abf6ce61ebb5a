package redispacer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

// connect returns a client of a Redis that lives in this process. A program of yours has
// the address of its own.
func connect() (rdb *redis.Client, end func()) {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	return rdb, func() { rdb.Close(); server.Close() }
}

func Example() {
	rdb, end := connect()
	defer end()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	limiter, err := redispacer.New(rdb, "their-api", redispacer.Config{
		Limits:   []pacer.Limit{{Calls: 100, Period: time.Second}}, // over all machines
		Fallback: pacer.Burst(10, time.Second),                     // each by itself while Redis is down
	})
	if err != nil {
		log.Fatal(err)
	}
	client := pacedhttp.New(nil, pacedhttp.Retry(nil), pacedhttp.Pace(limiter)).Client()

	resp, err := client.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// Two machines share three calls an hour.
func ExampleNew() {
	rdb, end := connect()
	defer end()
	cfg := redispacer.Config{Limits: []pacer.Limit{{Calls: 3, Period: time.Hour}}, Timeout: 5 * time.Second}
	one, err := redispacer.New(rdb, "their-api", cfg)
	if err != nil {
		log.Fatal(err)
	}
	other, err := redispacer.New(rdb, "their-api", cfg)
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 2 {
		fmt.Println("one:  ", one.Wait(ctx))
		err := other.Wait(ctx)
		fmt.Println("other:", err == nil, errors.Is(err, redispacer.ErrDeadline))
	}
	// Output:
	// one:   <nil>
	// other: true false
	// one:   <nil>
	// other: false true
}

// With a Fallback, calls go on while Redis is down, each process by itself.
func ExamplePacer_Wait_fallback() {
	rdb, end := connect()
	p, err := redispacer.New(rdb, "their-api", redispacer.Config{
		Limits:   []pacer.Limit{{Calls: 100, Period: time.Second}},
		Fallback: pacer.Burst(25, time.Second), // there are four such processes
		Timeout:  5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Wait(context.Background()))
	end() // Redis goes down
	fmt.Println(p.Wait(context.Background()))

	stats := p.Stats()
	fmt.Println(stats.Granted, "starts,", stats.Shared.Fallback, "by the fallback")
	// Output:
	// <nil>
	// <nil>
	// 2 starts, 1 by the fallback
}

// One machine was told to hold back, and all do.
func ExamplePacer_PauseUntil() {
	rdb, end := connect()
	defer end()
	cfg := redispacer.Config{Limits: []pacer.Limit{{Calls: 1000, Period: time.Second}}, Timeout: 5 * time.Second}
	one, err := redispacer.New(rdb, "their-api", cfg)
	if err != nil {
		log.Fatal(err)
	}
	other, err := redispacer.New(rdb, "their-api", cfg)
	if err != nil {
		log.Fatal(err)
	}

	one.PauseUntil(time.Now().Add(time.Hour)) // as pacedhttp.Pace does on a 429

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for err == nil { // until the pause has come to Redis
		err = other.Wait(ctx)
	}
	fmt.Println(errors.Is(err, pacer.ErrPaused) || errors.Is(err, pacer.ErrDeadline))
	// Output: true
}

// A quota too large for one Redis is shared out among several keys, on several nodes of a
// cluster.
func Example_shards() {
	rdb, end := connect()
	defer end()
	shards := make([]*redispacer.Pacer, 4)
	for i := range shards {
		var err error
		shards[i], err = redispacer.New(rdb, fmt.Sprint("their-api-", i), redispacer.Config{
			Limits:  []pacer.Limit{{Calls: 1_000_000 / len(shards), Period: time.Second}},
			Timeout: 5 * time.Second,
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	var next atomic.Uint64
	wait := func(ctx context.Context) error {
		return shards[next.Add(1)%uint64(len(shards))].Wait(ctx)
	}

	for range 8 {
		if err := wait(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	for _, p := range shards {
		fmt.Println(p.Stats().Granted)
	}
	// Output:
	// 2
	// 2
	// 2
	// 2
}
