package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A takenSlot is an Acquirer whose slot was taken before: it never waits.
type takenSlot struct{ slot *pacer.Slot }

var errUsed = errors.New("the slot was for one request")

func (s *takenSlot) Acquire(context.Context) (*pacer.Slot, error) {
	if s.slot == nil {
		return nil, errUsed
	}
	slot := s.slot
	s.slot = nil
	return slot, nil
}

func (s *takenSlot) Wait(context.Context) error { return errUsed }

type slotKey struct{}

// An event loop takes a slot before it begins a job, so that no worker waits for one, and hands
// it to the chain, which reports how the request went and says when it is over.
func ExampleAcquirer() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}))
	defer server.Close()

	quota := pacer.Must(pacer.Config{
		Limits:      []pacer.Limit{{Calls: 3, Period: time.Millisecond}},
		MaxInFlight: 2,
	})
	client := pacedhttp.New(nil, pacedhttp.PaceBy(func(req *http.Request) pacedhttp.Waiter {
		taken, _ := req.Context().Value(slotKey{}).(*takenSlot)
		return taken
	})).Client()

	work := func(job string, slot *pacer.Slot) error {
		defer slot.Cancel() // where nothing was sent; after Done it does nothing
		ctx := context.WithValue(context.Background(), slotKey{}, &takenSlot{slot})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/"+job, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}

	jobs := []string{"a", "b", "c", "d", "e"}
	over := make(chan error)
	for running := 0; len(jobs) > 0 || running > 0; {
		var askAgain <-chan time.Time
		if len(jobs) > 0 {
			slot, err := quota.TryAcquire(context.Background())
			if err == nil {
				job := jobs[0]
				jobs = jobs[1:]
				running++
				fmt.Println("begin", job)
				go func() { over <- work(job, slot) }()
				continue
			}
			refusal, ok := errors.AsType[*pacer.Error](err)
			if !ok {
				fmt.Println(err)
				return
			}
			askAgain = time.After(refusal.Wait())
		}
		select { // here the loop would serve its other events as well
		case err := <-over:
			running--
			if err != nil {
				fmt.Println(err)
			}
		case <-askAgain:
		}
	}
	fmt.Println("in flight:", quota.Stats().InFlight)
	// Output:
	// begin a
	// begin b
	// begin c
	// begin d
	// begin e
	// in flight: 0
}
