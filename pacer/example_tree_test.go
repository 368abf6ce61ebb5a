package pacer_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// An account may make three calls a minute, and each host takes two of them: one pacer per host,
// whose Parent is the account's. A call starts in both at one moment or in neither, so none of
// the account's slots is spent while a call waits for its host. What a host's server says of
// throttling holds back that host alone.
func ExampleConfig_perHostAndAccount() {
	account := pacer.Burst(3, time.Minute)
	hosts, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer {
		return pacer.Must(pacer.Config{
			Parent: account,
			Limits: []pacer.Limit{{Calls: 2, Period: time.Minute}},
		})
	}})
	if err != nil {
		panic(err)
	}
	for _, host := range []string{"a.example", "a.example", "a.example", "b.example", "b.example"} {
		fmt.Println(host, hosts.Get(host).Allow())
	}
	fmt.Println("b.example may start one more,", hosts.Get("b.example").Stats().Limits[0].Left, "but not now")
	// Output:
	// a.example true
	// a.example true
	// a.example false
	// b.example true
	// b.example false
	// b.example may start one more, 1 but not now
}

// People go before batch jobs, three calls to one while both wait, and batch takes all that
// people leave. Neither has limits of its own: they share those of the API, here one call at a
// time so that the order shows.
func ExampleConfig_interactiveBeforeBatch() {
	api := pacer.Must(pacer.Config{MaxInFlight: 1})
	people := pacer.Must(pacer.Config{Parent: api, Weight: 3})
	batch := pacer.Must(pacer.Config{Parent: api, Weight: 1})

	var order []string
	var calls sync.WaitGroup
	call := func(name string, p *pacer.Pacer, n int) {
		for range n {
			calls.Go(func() {
				slot, err := p.Acquire(context.Background())
				defer slot.Done()
				if err != nil {
					panic(err)
				}
				order = append(order, name)
			})
		}
		for p.Stats().Waiting < n {
			time.Sleep(time.Millisecond)
		}
	}
	running, err := api.Acquire(context.Background())
	if err != nil {
		panic(err)
	}
	call("batch", batch, 4)
	call("people", people, 6)
	running.Done()
	calls.Wait()
	fmt.Println(order)
	// Output: [batch people people people batch people people people batch batch]
}

// Tenants share an API alike: one who has a thousand calls waiting delays another's first call by
// one of its own. A tenant is a child without limits, and needs no word of how many there are.
func ExampleConfig_fairTenants() {
	api := pacer.Must(pacer.Config{MaxInFlight: 1})
	tenants, err := pacer.NewKeyed(pacer.KeyedConfig{New: func(string) *pacer.Pacer {
		return pacer.Must(pacer.Config{Parent: api})
	}})
	if err != nil {
		panic(err)
	}

	var order []string
	var calls sync.WaitGroup
	call := func(tenant string, n int) {
		for range n {
			calls.Go(func() {
				slot, err := tenants.Get(tenant).Acquire(context.Background())
				defer slot.Done()
				if err != nil {
					panic(err)
				}
				order = append(order, tenant)
			})
		}
		for tenants.Get(tenant).Stats().Waiting < n {
			time.Sleep(time.Millisecond)
		}
	}
	running, err := api.Acquire(context.Background())
	if err != nil {
		panic(err)
	}
	call("ann", 1000)
	call("bob", 3)
	running.Done()
	calls.Wait()
	fmt.Println(order[:7])
	// Output: [ann bob ann bob ann bob ann]
}

// The API throttles the account whatever host was asked: with PassUp the pacers of hosts keep
// their own limits, and what servers say is for the account's.
func ExampleConfig_passUp() {
	account := pacer.Burst(100, time.Minute)
	host := pacer.Must(pacer.Config{
		Parent: account,
		PassUp: true,
		Limits: []pacer.Limit{{Calls: 10, Period: time.Second}},
	})
	other := pacer.Must(pacer.Config{Parent: account, PassUp: true})

	slot, err := host.Acquire(context.Background())
	defer slot.Done()
	if err != nil {
		panic(err)
	}
	slot.Report(pacer.Outcome{Throttled: true, Delay: 30 * time.Second}) // 429, Retry-After: 30
	fmt.Println(account.Stats().State, other.Stats().State, other.Stats().Cause)
	// Output: paused paused throttled
}
