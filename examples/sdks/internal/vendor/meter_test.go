package vendor

import (
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// clock begins at some moment, and at tells one after it.
var clock = time.Unix(1_000_000, 0)

func at(d time.Duration) time.Time { return clock.Add(d) }

func TestWindowForgetsAUseAPeriodAfterIt(t *testing.T) {
	m := newMeter(pacer.Limit{Calls: 2, Period: time.Second}, clock)
	for _, step := range []struct {
		at   time.Duration
		wait time.Duration // for one more
		left int
	}{
		{0, 0, 2},
		{300 * time.Millisecond, 0, 1},
		{999_999_999, 1, 0},
		{time.Second, 0, 1},
		{1299_999_999, 1, 0},
		{1300 * time.Millisecond, 0, 1},
	} {
		m.flow(at(step.at))
		if wait, left := m.wait(1), m.left().Remaining; wait != step.wait || left != step.left {
			t.Errorf("after %v: wait %v and %d left, want %v and %d", step.at, wait, left, step.wait, step.left)
		}
		if step.wait == 0 {
			m.charge(1)
		}
	}
}

func TestWindowOfCostsWaitsUntilEnoughIsForgotten(t *testing.T) {
	m := newMeter(pacer.Limit{Cost: 100, Unit: "tokens", Period: time.Minute}, clock)
	for i, cost := range []int{30, 30, 40} {
		m.flow(at(time.Duration(i) * time.Second))
		m.charge(cost)
	}
	for cost, want := range map[int]time.Duration{0: 0, 1: 58 * time.Second, 30: 58 * time.Second, 31: 59 * time.Second, 60: 59 * time.Second, 61: time.Minute} {
		if got := m.wait(cost); got != want {
			t.Errorf("%d tokens wait %v, want %v", cost, got, want)
		}
	}
	if got, want := m.left().Reset, 58*time.Second; got != want {
		t.Errorf("reset after %v, want %v", got, want)
	}
}

func TestBucketFlowsBackAndNeverOver(t *testing.T) {
	m := newMeter(pacer.Limit{Calls: 2, Period: time.Second, Bucket: 4}, clock)
	for range 4 {
		if wait := m.wait(1); wait != 0 {
			t.Fatalf("a full bucket waits %v", wait)
		}
		m.charge(1)
	}
	if got, want := m.wait(1), 500*time.Millisecond; got != want {
		t.Errorf("an empty bucket waits %v, want %v", got, want)
	}
	m.flow(at(500 * time.Millisecond))
	if wait, left := m.wait(1), m.left(); wait != 0 || left.Remaining != 1 || left.Reset != 1500*time.Millisecond {
		t.Errorf("half a second later: wait %v, left %+v", wait, left)
	}
	m.flow(at(time.Hour))
	if left := m.left(); left.Remaining != 4 || left.Reset != 0 {
		t.Errorf("an hour later: left %+v", left)
	}
}

func TestWhatACostTurnedOutToBeIsOwed(t *testing.T) {
	m := newMeter(pacer.Limit{Cost: 60, Unit: "tokens", Period: time.Minute, Bucket: 60}, clock)
	m.charge(90)
	if wait, left := m.wait(1), m.left().Remaining; wait != 31*time.Second || left != 0 {
		t.Errorf("wait %v and %d left, want 31s and 0", wait, left)
	}
}
