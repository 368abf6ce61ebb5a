package redispacer

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// Who has not heard of a loss begins it not anew.
func TestALossThatOthersNoticedIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(2, false))
		r := s.want(1)
		knowing := request{epoch: r.epoch, given: r.now}
		f.flush()
		time.Sleep(ms)
		lost := s.run(knowing)
		if got := lost.rooms[0]; got != 1100*ms {
			t.Errorf("room in %v, want 1.1s", got)
		}
		time.Sleep(time.Second)
		if got := s.run(knowing); got.rooms[0] != 100*ms || got.epoch != lost.epoch {
			t.Errorf("told again: room in %v, want 100ms", got.rooms[0])
		}
	})
}

// A new record is told from the one that was lost, be that of the same moment.
func TestALossInTheMomentOfAStartIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(2, false))
		r := s.want(1)
		f.flush()
		if got := s.run(request{epoch: r.epoch, given: r.now}); got.epoch == r.epoch || got.rooms[0] == 0 {
			t.Errorf("epoch %d as before, and room in %v", got.epoch, got.rooms[0])
		}
	})
}

// What a process was granted while it told of a loss is not lost.
func TestALossBehindASlowerClockIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(2, false))
		r := s.want(1)
		f.flush()
		f.skew = -time.Hour
		r = s.run(request{epoch: r.epoch, given: r.now, wanted: make([][]int, 1), horizon: 7 * time.Second})
		if len(r.starts) != 1 {
			t.Fatalf("%d starts, want 1", len(r.starts))
		}
		if got := s.run(request{epoch: r.epoch, given: r.now}); got.epoch != r.epoch {
			t.Error("a loss, though nothing was lost")
		}
	})
}

// After a loss what costs more leaves more of a Period to the next start, and a bucket gives what
// flows into it.
func TestAfterALossStartsAreAsFarApartAsTheyCost(t *testing.T) {
	for name, tt := range map[string]struct {
		limit pacer.Limit
		cost  int
		want  time.Duration
	}{
		"starts":         {perSecond(4, false), 0, 250 * ms},
		"costs":          {tokens(100, time.Second), 50, 500 * ms},
		"a bucket":       {pacer.Limit{Calls: 4, Period: time.Second, Bucket: 20}, 1, 250 * ms},
		"costs' buckets": {pacer.Limit{Cost: 100, Unit: "tokens", Period: time.Second, Bucket: 200}, 50, 500 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				s := newScripted(t, f, 1, tt.limit)
				wanted := [][]int{slices.Repeat([]int{tt.cost}, s.units)}
				r := s.run(request{wanted: wanted})
				f.flush()
				time.Sleep(ms)
				got := s.run(request{epoch: r.epoch, given: r.now, wanted: slices.Repeat(wanted, 2), horizon: 7 * time.Second}).waits()
				if len(got) != 2 || got[1]-got[0] != tt.want {
					t.Errorf("starts after %v, want them %v apart", got, tt.want)
				}
			})
		})
	}
}

// While it lasts a pause is a server's if that asked for any part of it.
func TestAPauseIsAServersAsLongAsItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), 1, perSecond(2, false))
		s.run(request{pause: time.Second, told: true})
		if got := s.run(request{pause: 2 * time.Second}); !got.told {
			t.Error("a longer pause is not the server's any more")
		}
		time.Sleep(3 * time.Second)
		if got := s.run(request{pause: time.Second}); got.told {
			t.Error("the next pause is a server's, too")
		}
	})
}

// The record is kept for two Periods and two seconds at least after whatever it holds, and longer so
// that not each start has to say so.
func TestHowLongTheRecordIsKept(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(f *fakeRedis, s scripted)
		want time.Duration
	}{
		{"a start", func(_ *fakeRedis, s scripted) { s.want(1) }, 6 * time.Second},
		{"a start soon after it", func(_ *fakeRedis, s scripted) {
			s.want(1)
			time.Sleep(2 * time.Second)
			s.want(1)
		}, 6 * time.Second},
		{"a start later", func(_ *fakeRedis, s scripted) {
			s.want(1)
			time.Sleep(2001 * ms)
			s.want(1)
		}, 8001 * ms},
		{"a start that lies ahead", func(_ *fakeRedis, s scripted) { s.ahead(4) }, 9 * time.Second},
		{"one that was given back", func(f *fakeRedis, s scripted) {
			r := s.ahead(4)
			s.back(r.epoch, r.starts[3])
		}, 9 * time.Second},
		{"all that were given back", func(f *fakeRedis, s scripted) {
			all := s.ahead(4).starts
			s.run(request{pause: 4 * time.Second})
			s.back(f.epoch(), all...)
		}, 9 * time.Second},
		{"a pause", func(_ *fakeRedis, s scripted) { s.run(request{pause: 10 * time.Second}) }, 16 * time.Second},
		{"a standstill", func(f *fakeRedis, s scripted) {
			r := s.want(1)
			f.flush()
			time.Sleep(ms)
			s.run(request{epoch: r.epoch, given: r.now, newest: 3 * time.Second})
		}, 10101 * ms},
		{"a change", func(f *fakeRedis, s scripted) {
			g := s.want(1).starts[0]
			time.Sleep(5 * time.Second)
			s.back(f.epoch(), g)
		}, 11 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				began := time.Now()
				tt.do(f, newScripted(t, f, 1, perSecond(1, false)))
				if got := f.record().expires.Sub(began); got != tt.want {
					t.Errorf("expires %v after the beginning, want %v", got, tt.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(2, false))
		s.want(1)
		written := f.writes
		if s.want(1); f.writes != written+2 {
			t.Errorf("a second start writes %d times, want an entry and the header", f.writes-written)
		}
	})
}

// Who asks for nothing is told when there is room for what costs 1.
func TestWhoAsksForNothingIsToldWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, newFakeRedis(t), 1, tokens(100, time.Second))
		s.costing(100)
		if got := s.want(0).rooms[0]; got != time.Second {
			t.Errorf("room in %v, want 1s", got)
		}
	})
}

// What costs nothing is not held by what others cost, be it more than the limit.
func TestWhatCostsNothingIsNotHeld(t *testing.T) {
	for _, limit := range []pacer.Limit{
		tokens(100, time.Second), {Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			s := newScripted(t, f, 1, limit)
			s.costing(100)
			s.run(request{epoch: f.epoch(), changes: []change{{kind: charge, unit: 1, cost: 100}}})
			if _, room := s.costing(0); room != 0 {
				t.Errorf("%+v: room in %v for what costs nothing, want now", limit, room)
			}
		})
	}
}

// A charge in one unit draws from no other's bucket.
func TestAChargeIsOfItsUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, pacer.Limit{Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 100}, pacer.Limit{Cost: 1, Unit: "points", Period: time.Second, Bucket: 100})
		s.run(request{wanted: [][]int{{10, 10}}})
		s.run(request{epoch: f.epoch(), changes: []change{{kind: charge, unit: 1, cost: 30}}})
		got := s.run(request{wanted: [][]int{{90, 90}}}).rooms
		if want := []time.Duration{30 * time.Second, 0}; !slices.Equal(got, want) {
			t.Errorf("room in %v for 90 with 10 spent and 30 charged, want %v", got, want)
		}
	})
}

// Another process's limits find out about what was settled.
func TestASettlementIsHeardOfByOtherLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, tokens(100, 10*time.Second)), newScripted(t, f, 2, tokens(200, 10*time.Second))
		theirs, _ := b.costing(60)
		a.costing(10)
		b.run(request{epoch: f.epoch(), changes: []change{{kind: settleTo, at: theirs.at, serial: theirs.serial, unit: 1, cost: 20}}})
		if _, room := a.costing(70); room != 0 {
			t.Errorf("room in %v for 70 of 100 with 30 spent, want now", room)
		}
	})
}
