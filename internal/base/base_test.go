package base_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pacedhttp/pacedhttp/internal/base"
)

func TestABurstAsLargeAsThePoolKeepsItsConnections(t *testing.T) {
	tr := base.New()
	t.Cleanup(tr.CloseIdleConnections)
	burst := tr.MaxIdleConns
	var made atomic.Int64
	var served, all sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		served.Done()
		served.Wait() // so that every request of the burst needs a connection of its own
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	for range 3 {
		served.Add(burst)
		for range burst {
			all.Go(func() {
				req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			})
		}
		all.Wait()
	}
	if got := made.Load(); got != int64(burst) || burst < 100 {
		t.Errorf("3 bursts of %d made %d connections, want %d, and bursts of 100 at least", burst, got, burst)
	}
}

func TestBasesShareNothing(t *testing.T) {
	a, b := base.New(), base.New()
	if a == b || a == http.DefaultTransport {
		t.Error("a base is shared")
	}
	if !a.ForceAttemptHTTP2 || a.Proxy == nil || a.IdleConnTimeout == 0 || a.TLSHandshakeTimeout == 0 {
		t.Errorf("a base lacks HTTP/2, the environment's proxy or a timeout: %+v", a)
	}
}
