package pacedhttp_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// A hundred requests through a child and its parent take a slot of both at one moment: none of
// the parent's is spent while a request waits for the child, as it is with two Pace layers.
func TestAChildSpendsNoSlotOfItsParentsWhileItWaits(t *testing.T) {
	ok := pacedhttp.RoundTripperFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	})
	for name, tc := range map[string]struct {
		chain func(parent *pacer.Pacer, limit pacer.Config) http.RoundTripper
		spent uint64 // of the parent's at once
	}{
		"a child": {func(parent *pacer.Pacer, limit pacer.Config) http.RoundTripper {
			limit.Parent = parent
			return pacedhttp.New(ok, pacedhttp.Pace(pacer.Must(limit)))
		}, 10},
		"two Pace layers": {func(parent *pacer.Pacer, limit pacer.Config) http.RoundTripper {
			return pacedhttp.New(ok, pacedhttp.Pace(parent), pacedhttp.Pace(pacer.Must(limit)))
		}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent := pacer.Burst(100, time.Hour)
				rt := tc.chain(parent, pacer.Config{Limits: []pacer.Limit{{Calls: 10, Period: time.Second}}})
				began := time.Now()
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() {
						req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a.example/", http.NoBody)
						if resp, err := rt.RoundTrip(req); err != nil {
							t.Error(err)
						} else {
							resp.Body.Close()
						}
					})
				}
				synctest.Wait()
				if got := parent.Stats().Granted; got != tc.spent {
					t.Errorf("%d slots of the parent spent at once, want %d", got, tc.spent)
				}
				all.Wait()
				if took := time.Since(began); took != 9*time.Second {
					t.Errorf("all took %v, want 9s", took)
				}
			})
		})
	}
}
