package pacedhttp_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestSlotWaitingIsCalledAfterTenSecondsAndEveryMinuteAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: 80 * time.Second}}, MaxPause: time.Hour})
		p.Allow()
		time.Sleep(time.Second)
		j := newJournal()
		rt := pacedhttp.New(newScript(), pacedhttp.Observe(j.hooks()), pacedhttp.Pace(p))
		time.AfterFunc(30*time.Second, func() { p.PauseUntil(time.Now().Add(170 * time.Second)) })
		send(t, rt, newRequest(t, "GET", nil))
		time.Sleep(time.Hour)
		j.want(t, // a caller who came now would wait for the one that waits, too
			"0s slot requested #0 waited=0s err=<nil>",
			"10s slot waiting #0 waited=10s flowing  predicted=2m29s",
			"1m10s slot waiting #0 waited=1m10s paused paused by the program predicted=3m30s",
			"2m10s slot waiting #0 waited=2m10s paused paused by the program predicted=2m30s",
			"3m10s slot waiting #0 waited=3m10s paused paused by the program predicted=1m30s",
			"3m20s slot acquired #0 waited=3m20s err=<nil>",
		)
	})
}

func TestSlotWaitingIsNotCalledOnceTheWaitIsOver(t *testing.T) {
	for name, tc := range map[string]struct {
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want []string
	}{
		"a slot in time": {nil, []string{"0s slot requested #0 waited=0s err=<nil>", "9s slot acquired #0 waited=9s err=<nil>"}},
		"cancelled":      {canceledAfter(8 * time.Second), []string{"0s slot requested #0 waited=0s err=<nil>", "8s slot refused #0 waited=8s err=context canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, j := pacer.Drip(1, 9*time.Second), newJournal()
				p.Allow()
				req := newRequest(t, "GET", nil)
				if tc.ctx != nil {
					ctx, cancel := tc.ctx(req.Context())
					defer cancel()
					req = req.WithContext(ctx)
				}
				send(t, pacedhttp.New(newScript(), pacedhttp.Observe(j.hooks()), pacedhttp.Pace(p)), req)
				time.Sleep(time.Hour)
				j.want(t, tc.want...)
			})
		})
	}
}

// Of a Waiter that says nothing of itself the hook tells how long it has been.
func TestSlotWaitingOfAForeignWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := waiterFunc(func(ctx context.Context) error {
			select {
			case <-time.After(15 * time.Second):
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		send(t, pacedhttp.New(newScript(), pacedhttp.Observe(j.hooks()), pacedhttp.Pace(w)), newRequest(t, "GET", nil))
		j.want(t,
			"0s slot requested #0 waited=0s err=<nil>",
			"10s slot waiting #0 waited=10s flowing  predicted=0s",
			"15s slot acquired #0 waited=15s err=<nil>",
		)
	})
}

// Who gets a slot at once asks for no Done, and so nothing keeps time for the hook.
func TestSlotThatIsFreeKeepsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := false
		w := waiterFunc(func(ctx context.Context) error {
			time.Sleep(time.Minute)
			return ctx.Err()
		})
		hooks := pacedhttp.Hooks{SlotWaiting: func(context.Context, pacedhttp.SlotInfo) { told = true }}
		send(t, pacedhttp.New(newScript(), pacedhttp.Observe(hooks), pacedhttp.Pace(w)), newRequest(t, "GET", nil))
		if told {
			t.Error("a timer was made though nobody asked for Done")
		}
	})
}

// The wait ends at once and the panic is the caller's, though the hook is called elsewhere.
func TestPanicOfSlotWaitingEndsTheWaitAndPassesThrough(t *testing.T) {
	for name, newPacer := range map[string]func() *pacer.Pacer{
		"windows": func() *pacer.Pacer { return pacer.Drip(1, time.Minute) },
		"flights": func() *pacer.Pacer {
			return pacer.Must(pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Minute}}, MaxInFlight: 9})
		},
	} {
		for chain, retry := range map[string]pacedhttp.Middleware{"under Retry": pacedhttp.Retry(nil), "without Retry": nil} {
			t.Run(name+"/"+chain, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, began := newPacer(), time.Now()
					if slot, err := p.Acquire(t.Context()); err == nil {
						slot.Done()
					}
					hooks := pacedhttp.Hooks{SlotWaiting: func(context.Context, pacedhttp.SlotInfo) { panic("mine") }}
					body := trackString("payload")
					got := func() (v any) {
						defer func() { v = recover() }()
						_, _ = pacedhttp.New(newScript(), pacedhttp.Observe(hooks), retry, pacedhttp.Pace(p)).RoundTrip(newRequest(t, "PUT", body))
						return nil
					}()
					if took := time.Since(began); got != "mine" || took != 10*time.Second {
						t.Errorf("recovered %v after %v", got, took)
					}
					body.wantOneClose(t)
					if stats := p.Stats(); stats.Waiting != 0 || stats.InFlight != 0 {
						t.Errorf("left in the pacer: %+v", stats)
					}
				})
			})
		}
	}
}

// A hook that asks the pacer, or its context, waits for nobody who waits for it.
func TestSlotWaitingMayAskThePacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.Drip(1, 30*time.Second)
		p.Allow()
		waiting := 0
		hooks := pacedhttp.Hooks{SlotWaiting: func(ctx context.Context, i pacedhttp.SlotInfo) {
			waiting = p.Stats().Waiting
			<-time.After(time.Second)
			if ctx.Err() != nil || i.Request.Context().Err() != nil {
				t.Error("the context has ended")
			}
		}}
		rt := pacedhttp.New(newScript(), pacedhttp.Observe(hooks), pacedhttp.Pace(p))
		if status, _, err := send(t, rt, newRequest(t, "GET", nil)); status != 200 || err != nil || waiting != 1 {
			t.Errorf("got %d, %v, %d waiting", status, err, waiting)
		}
	})
}

// http.Client.Timeout ends a wait by Request.Cancel, and a wait that is told of too.
func TestClientTimeoutEndsAWaitThatIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := flights(1)
		slot, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer slot.Done()
		j, began := newJournal(), time.Now()
		client := pacedhttp.New(newScript(), pacedhttp.Observe(j.hooks()), pacedhttp.Pace(p)).Client()
		client.Timeout = 20 * time.Second
		if _, err := client.Get("http://api.test"); err == nil || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		j.want(t,
			"0s slot requested #0 waited=0s err=<nil>",
			"10s slot waiting #0 waited=10s flowing  predicted=0s",
			"20s slot refused #0 waited=20s err=context deadline exceeded",
		)
	})
}

// The example takes ten seconds, so it has no Output and runs here.
func TestExampleOfSlotWaiting(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer func(stdout *os.File) { os.Stdout = stdout }(os.Stdout)
	os.Stdout = out
	synctest.Test(t, func(*testing.T) { ExampleHooks_slotWaiting() })
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	const want = "/report has waited 10s, 20s more: paused, paused by the program\n200 OK after 10s\n"
	if string(got) != want {
		t.Errorf("it prints\n%swant\n%s", got, want)
	}
}
