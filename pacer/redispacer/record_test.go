package redispacer

import (
	"encoding/binary"
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

func (f *fakeRedis) size() int { return len(f.record().value) }

// field is a number of the record's header.
func (f *fakeRedis) field(i int) int64 {
	return int64(binary.BigEndian.Uint64(f.record().value[8*i:]))
}

func timesOf(entries []granted) []int64 {
	var all []int64
	for _, e := range entries {
		all = append(all, e.at)
	}
	return all
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
