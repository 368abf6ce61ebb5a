package redispacer

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// with has the script run with another constant, so that a bound is reached sooner.
func (f *fakeRedis) with(t *testing.T, constant, other string) {
	t.Helper()
	if strings.Count(source, constant) != 1 {
		t.Fatalf("the script has no %q", constant)
	}
	fn, err := f.lua.LoadString(strings.Replace(source, constant, other, 1))
	if err != nil {
		t.Fatal(err)
	}
	f.fn = fn
}

// A unit that is new makes each entry larger. Of many the oldest are given up for that, and who
// counts them takes all for as late as the last of them.
func TestAUnitThatIsNewForgetsNoStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.with(t, "LOOK = 16384", "LOOK = 10")
		hour := pacer.Limit{Calls: 30, Period: time.Hour}
		a := newScripted(t, f, 1, hour)
		for range 30 {
			a.want(1)
			time.Sleep(time.Second)
		}
		b := newScripted(t, f, 2, hour, tokens(100, time.Minute))
		want := time.Hour - 11*time.Second // the last of the 20 that are not there any more
		if _, room := b.costing(1); room != want {
			t.Errorf("room in %v after 30 of 30 starts an hour, want %v", room, want)
		}
		if r := a.want(1); len(r.starts) > 0 || r.rooms[0] != want {
			t.Errorf("%d starts and room in %v, want %v", len(r.starts), r.rooms[0], want)
		}
	})
}

// Nobody knows what those that made room for others have cost. In a unit that is newer than they
// are it was nothing.
func TestAUnitThatIsNewBeginsEmpty(t *testing.T) {
	for _, limit := range []pacer.Limit{
		tokens(100, time.Minute), {Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			a := newScripted(t, f, 1, perSecond(3, false))
			for range 60 {
				a.want(1)
				time.Sleep(400 * ms)
			}
			b := newScripted(t, f, 2, perSecond(3, false), limit)
			if _, room := b.costing(100); room != 0 {
				t.Errorf("%+v: 100 have room in %v, want now", limit, room)
			}
			for range 100 {
				a.want(1)
				time.Sleep(2 * time.Second)
			}
			limit.Period *= 4 // a limit that is new
			if _, room := newScripted(t, f, 3, limit).costing(10); room == 0 {
				t.Errorf("%+v: 10 have room now, though nobody knows what has started 150 s ago", limit)
			}
		})
	}
}

// A value that only begins like a record is none.
func TestWhatIsNoRecordIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, perSecond(1, false))
		s.want(1)
		k := f.record()
		for _, value := range []string{"short", "something that is longer", string(k.value[:100])} {
			k.value = []byte(value)
			_, err := s.s.run(t.Context(), request{rules: s.rules, wanted: make([][]int, 1)})
			if err == nil || !contains(err, "something else than the record") || string(k.value) != value {
				t.Errorf("with %q: %v, and then it was %q", value, err, k.value)
			}
		}
	})
}

// Who looks back by a second does not end what others look back on.
func TestTheRecordServesWhoeverLooksBackFarthest(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			newScripted(t, f, 1, burst(1, time.Hour)...).want(1)
			time.Sleep(90 * time.Minute)
			newScripted(t, f, 2, perSecond(2, false)).want(1)
			if left := time.Until(f.record().expires); left < 2*time.Hour {
				t.Errorf("a start is remembered for %v, while a limit looks back by an hour", left)
			}
		})
	})
	t.Run("in number", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			many, few := newScripted(t, f, 1, pacer.Limit{Calls: 100, Period: time.Minute}), newScripted(t, f, 2, perSecond(3, false))
			for range 60 {
				many.want(1)
				time.Sleep(10 * ms)
			}
			for range 44 {
				time.Sleep(time.Second)
				few.want(1)
			}
			if got, want := many.want(1).rooms[0], time.Minute+40*ms-600*ms-44*time.Second; got != want {
				t.Errorf("room in %v, want %v: when the fifth has left", got, want)
			}
		})
	})
	t.Run("in costs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRedis(t)
			a, b := newScripted(t, f, 1, tokens(100, 10*time.Second)), newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: ms})
			a.costing(10)
			for range 70 { // which cost 1 each
				time.Sleep(ms)
				b.want(1)
			}
			if _, room := a.costing(20); room != 0 {
				t.Errorf("room in %v for 20 of 100 with 80 spent, want now", room)
			}
		})
	})
}

// What costs have left a window by is known, be it of starts that made room for others.
func TestACostThatHasLeftIsNotSubtractedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, tokens(100, time.Second)), newScripted(t, f, 2, pacer.Limit{Calls: 1, Period: time.Microsecond})
		a.costing(50)
		time.Sleep(900 * ms)
		a.costing(10)
		time.Sleep(100 * ms)
		for range 32 { // the first makes room for the last of them
			b.want(1)
			time.Sleep(ms)
		}
		if _, room := a.costing(58); room != 0 {
			t.Errorf("room in %v for 58 of 100 with 42 spent, want now", room)
		}
	})
}

// The record of a large limit is as long as what it looks back on.
func TestTheRecordIsNoLongerThanItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.with(t, "STEP = 65536", "STEP = 8")
		s := newScripted(t, f, 1, perSecond(1000, false))
		for range 100 {
			s.want(1)
			time.Sleep(time.Second)
		}
		room := f.field(1)
		if most := 8 * (int(room) + 64); f.size() > most {
			t.Errorf("%d bytes after one start a second, want %d at most", f.size(), most)
		}
		for range 100 {
			s.want(1)
		}
		newScripted(t, f, 2, pacer.Limit{Calls: 10, Period: time.Hour}).want(0)
		for range 300 {
			s.want(1)
			time.Sleep(time.Second)
		}
		if most := 8 * (int(room) + 104); f.size() > most {
			t.Errorf("%d bytes after 100 starts in a second, want %d at most", f.size(), most)
		}
	})
}

// Of starts beyond the largest number of calls 32 are kept, so that as many can be given back.
func TestWhatIsGivenBackIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		loose, hour := newScripted(t, f, 1, perSecond(50, false)), pacer.Limit{Calls: 40, Period: time.Hour}
		newScripted(t, f, 2, hour).want(0)
		newScripted(t, f, 2, hour).want(1)
		var back []change
		for i := range 80 {
			time.Sleep(time.Second)
			if g := loose.want(1).starts[0]; i >= 80-31 {
				back = append(back, g.back())
			}
		}
		if got := loose.run(request{epoch: f.epoch(), changes: back}).returned; got != 31 {
			t.Errorf("%d given back, want 31", got)
		}
		// 50 are left; the 11th of them leaves in an hour less 70 seconds.
		if got, want := newScripted(t, f, 2, hour).want(1).rooms[0], time.Hour-70*time.Second; got != want {
			t.Errorf("room in %v, want %v", got, want)
		}
	})
}

// Starts are kept in order of time, whoever asks for a time before others'.
func TestTheRecordIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, perSecond(2, false)), newScripted(t, f, 2, pacer.Limit{Calls: 5, Period: 100 * ms})
		a.run(request{wanted: make([][]int, 6), horizon: 3 * time.Second})
		time.Sleep(500 * ms)
		b.run(request{wanted: make([][]int, 4), horizon: time.Second})
		var got []time.Duration
		first := f.entries()[0].at
		for _, e := range f.entries() {
			got = append(got, micros(e.at-first))
		}
		if want := []time.Duration{0, 0, 500 * ms, 600 * ms, 700 * ms, 800 * ms, time.Second, time.Second, 2 * time.Second, 2 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("starts at %v, want %v", got, want)
		}
	})
}

// A cost limit counts each start once, though others put theirs before those that it knew.
func TestAStartBeforeOthersIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, tokens(100, time.Second)), newScripted(t, f, 2, perSecond(9, false))
		a.costing(80)
		if got := a.run(request{wanted: [][]int{{50}}, horizon: 2 * time.Second}).waits(); !slices.Equal(got, []time.Duration{time.Second}) {
			t.Fatalf("reserved in %v, want 1s", got)
		}
		time.Sleep(500 * ms)
		b.want(1)
		time.Sleep(700 * ms)
		if _, room := a.costing(40); room != 0 {
			t.Errorf("room in %v for 40 of 100 with 51 spent, want now", room)
		}
	})
}

// A start that is not on the record any more is not confused with one of the same serial number.
func TestSerialNumbersComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.with(t, "SERIALS = 4096", "SERIALS = 4")
		s := newScripted(t, f, 1, pacer.Limit{Calls: 10, Period: time.Minute})
		var last granted
		for i := range 9 {
			r := s.want(1)
			if last = r.starts[0]; last.at != r.now {
				t.Errorf("start %d comes %v late", i, micros(last.at-r.now))
			}
			time.Sleep(time.Second)
		}
		back := request{epoch: f.epoch(), changes: []change{last.back()}}
		for _, want := range []int{1, 0} {
			if got := s.run(back).returned; got != want {
				t.Errorf("%d given back, want %d", got, want)
			}
		}
		s.want(2)
		if got, want := s.want(1).rooms[0], time.Minute-9*time.Second; got != want {
			t.Errorf("room in %v, want %v", got, want)
		}
	})
}

// To give back a start moves all behind it, which is bounded.
func TestAStartThatManyFollowIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.with(t, "MOVED = 8192", "MOVED = 3")
		s := newScripted(t, f, 1, pacer.Limit{Calls: 5, Period: time.Minute})
		all := s.want(5).starts
		for i, want := range []int{0, 0, 1} {
			g := all[i]
			if got := s.back(f.epoch(), g).returned; got != want {
				t.Errorf("start %d: %d given back, want %d", i, got, want)
			}
		}
		if got := len(s.want(5).starts); got != 1 {
			t.Errorf("%d starts, want 1", got)
		}
	})
}

// What is new, or was not asked for long, looks at the last entries only, and takes the rest for
// full.
func TestALimitLooksBackAtSoMany(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit pacer.Limit
		want  time.Duration
	}{
		{"costs", tokens(100, time.Minute), 50 * time.Second}, // the eleventh last leaves then
		{"a bucket", pacer.Limit{Cost: 1, Unit: "tokens", Period: time.Second, Bucket: 100}, 50 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				f.with(t, "LOOK = 16384", "LOOK = 10")
				old, other := newScripted(t, f, 1, tt.limit), newScripted(t, f, 2, perSecond(3, false))
				old.costing(1)
				for range 20 {
					time.Sleep(time.Second)
					other.want(1)
				}
				another := newScripted(t, f, 3, tt.limit)
				another.rules.args[len(another.rules.args)-1] = number("another")
				for name, s := range map[string]scripted{"new": another, "old": old} {
					if _, room := s.costing(50); room != tt.want {
						t.Errorf("%s: room in %v, want %v", name, room, tt.want)
					}
				}
			})
		})
	}
}

// Two even limits do not begin on one another's grid.
func TestAnEvenLimitThatIsNewBeginsBehindTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		newScripted(t, f, 1, perSecond(9, false)).want(1)
		time.Sleep(time.Second)
		if got := newScripted(t, f, 2, pacer.Limit{Calls: 2, Period: 10 * time.Second, Even: true}).want(1); len(got.starts) > 0 || got.rooms[0] != 4*time.Second {
			t.Errorf("%d starts and room in %v, want 4s", len(got.starts), got.rooms[0])
		}
	})
}

// The record has room for what sixteen limits remember. Who was forgotten finds that anew.
func TestTheRecordRemembersSixteenLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		for i := range 40 {
			newScripted(t, f, 1, pacer.Limit{Calls: 100 + i, Period: time.Second, Even: true}).want(1)
			time.Sleep(time.Second)
		}
		if got := f.field(23); got != 16 {
			t.Errorf("%d limits remembered, want 16", got)
		}
		first := newScripted(t, f, 1, pacer.Limit{Calls: 100, Period: time.Second, Even: true})
		if got := first.run(request{wanted: make([][]int, 2)}); !slices.Equal(got.waits(), []time.Duration{0, 10 * ms}) {
			t.Errorf("starts after %v, want 0 and 10ms", got.waits())
		}
	})
}

// What was given up to make room is the newest start where all behind it were given back.
func TestWhatMadeRoomStillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, pacer.Limit{Calls: 1, Period: ms})
		var back []change
		for i := range 40 {
			time.Sleep(time.Second)
			if g := s.want(1).starts[0]; i >= 7 {
				back = append(back, g.back())
			}
		}
		if got := s.run(request{epoch: f.epoch(), changes: back}).returned; got != 33 {
			t.Fatalf("%d given back, want 33", got)
		}
		even := newScripted(t, f, 2, pacer.Limit{Calls: 10, Period: time.Hour, Even: true})
		if got, want := even.want(1).rooms[0], 6*time.Minute-33*time.Second; got != want {
			t.Errorf("room in %v, want %v", got, want)
		}
	})
}

// A ring that is full at its end grows without being written anew.
func TestTheRecordIsWrittenAnewRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		s := newScripted(t, f, 1, pacer.Limit{Calls: 1000, Period: time.Hour})
		for range 300 {
			s.want(1)
		}
		if f.wrote > 8*(int(f.field(1))+1) {
			t.Errorf("%d bytes written at once, want a header and an entry", f.wrote)
		}
	})
}

// Costs that have left a window are not subtracted from it again by who settles or cancels late.
func TestWhatHasLeftAWindowCannotBeTakenBackFromIt(t *testing.T) {
	for name, c := range map[string]change{"cancel": {kind: giveBack}, "settle": {kind: settleTo, unit: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				s := newScripted(t, f, 1, tokens(100, 10*time.Second))
				g, _ := s.costing(80)
				time.Sleep(9 * time.Second)
				s.costing(10)
				time.Sleep(2 * time.Second)
				s.costing(10)
				c.at, c.serial = g.at, g.serial
				s.run(request{epoch: f.epoch(), changes: []change{c}})
				if _, room := s.costing(81); room != 8*time.Second { // when the first 10 have left
					t.Errorf("room in %v for 81 of 100 with 20 spent, want 8s", room)
				}
				if _, room := s.costing(80); room != 0 {
					t.Errorf("room in %v for 80 of 100 with 20 spent, want now", room)
				}
			})
		})
	}
}
