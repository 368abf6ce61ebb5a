package pacer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A vendor has raised a quota, which the program reads in its configuration. Nothing is
// restarted, nobody who waits loses a place, and what has started counts on.
func ExamplePacer_SetLimits() {
	p := pacer.Burst(2, time.Hour)
	for range 2 {
		fmt.Println(p.Wait(context.Background()))
	}
	waiting := make(chan error)
	go func() { waiting <- p.Wait(context.Background()) }() // for an hour, as it seems

	limits, err := pacer.ParseLimits("5/h")
	if err == nil {
		err = p.SetLimits(limits...)
	}
	fmt.Println(err, <-waiting)
	fmt.Println(p.Stats().Limits[0].Left, "left of", p.Stats().Limits[0].Limit)
	// Output:
	// <nil>
	// <nil>
	// <nil> <nil>
	// 2 left of 5/h
}

// One pacer per tenant, and limits that are changed for all of them at run time: New reads
// those that are current, and a loop over All sets them where a pacer exists. They are stored
// first, so that no tenant is missed.
func ExampleKeyed_All() {
	var current atomic.Pointer[[]pacer.Limit]
	current.Store(&[]pacer.Limit{{Calls: 1, Period: time.Hour}})
	tenants, err := pacer.NewKeyed(pacer.KeyedConfig{
		New: func(string) *pacer.Pacer { return pacer.Must(pacer.Config{Limits: *current.Load()}) },
	})
	if err != nil {
		panic(err)
	}
	setLimits := func(limits []pacer.Limit) error {
		if _, err := pacer.New(pacer.Config{Limits: limits}); err != nil {
			return err
		}
		current.Store(&limits)
		for _, p := range tenants.All() {
			if err := p.SetLimits(limits...); err != nil {
				return err
			}
		}
		return nil
	}

	fmt.Println(tenants.Get("ann").Allow(), tenants.Get("ann").Allow())
	fmt.Println(setLimits([]pacer.Limit{{Calls: 3, Period: time.Hour}}))
	for _, tenant := range []string{"ann", "bob"} {
		fmt.Println(tenant, tenants.Get(tenant).Stats().Limits[0].Left)
	}
	// Output:
	// true false
	// <nil>
	// ann 2
	// bob 3
}
