package pacedhttp

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// When observers are told that a wait for a slot goes on.
const (
	longWaitAfter = 10 * time.Second
	longWaitEvery = time.Minute
)

// A longWait is the context of a wait for a slot that observers are told of while it lasts.
// Nothing keeps time before somebody asks for Done: who finds a slot free need not.
type longWait struct {
	context.Context
	observer *observer
	info     SlotInfo
	waiter   Waiter
	began    time.Duration // on uptime's clock

	// It is not held while a hook is called: a hook may ask the pacer, which asks for Err.
	mu    sync.Mutex
	ended context.Context // nil before somebody asks for Done
	end   context.CancelFunc
	timer *time.Timer

	telling  sync.Mutex // for as long as a hook is called
	over     bool
	panicked any // by a hook, in the timer's goroutine
}

// longWaitOf returns the context of a wait that began just now, nil if nobody wants to be told.
func longWaitOf(ctx context.Context, o *observer, req *http.Request, w Waiter, began time.Duration) *longWait {
	for told := o; told != nil; told = told.outer {
		if told.hooks.SlotWaiting != nil {
			return &longWait{Context: ctx, observer: o, info: SlotInfo{Request: req}, waiter: w, began: began}
		}
	}
	return nil
}

// Done implements context.Context.
func (l *longWait) Done() <-chan struct{} { return l.lasting().Done() }

// lasting returns the context that ends with l, and keeps time from now on.
func (l *longWait) lasting() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended, l.end = context.WithCancel(l.Context)
		l.timer = time.AfterFunc(longWaitAfter-(uptime()-l.began), l.tell)
	}
	return l.ended
}

// Err implements context.Context.
func (l *longWait) Err() error {
	if err := l.Context.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		return nil
	}
	return l.ended.Err()
}

// AfterFunc is what package context registers children by.
func (l *longWait) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(l.lasting(), f) }

// tell tells the observers. A panic of theirs ends the wait, for stop to pass it on.
func (l *longWait) tell() {
	l.telling.Lock()
	defer l.telling.Unlock()
	if l.over {
		return
	}
	defer func() {
		if l.panicked = recover(); l.panicked != nil {
			l.end()
		}
	}()
	l.info.Waited = uptime() - l.began
	if p, ok := l.waiter.(interface{ Stats() pacer.Stats }); ok {
		stats := p.Stats()
		l.info.State, l.info.Cause, l.info.InFlight = stats.State, stats.Cause, stats.InFlight
		l.info.Predicted = max(0, time.Until(stats.Predicted))
	}
	l.observer.slotWaiting(l.Context, l.info)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.Reset(longWaitEvery)
}

// stop ends the wait. It returns what a hook panicked with, nil for none.
func (l *longWait) stop() (panicked any) {
	l.telling.Lock()
	defer l.telling.Unlock()
	l.over = true
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.end()
	}
	return l.panicked
}
