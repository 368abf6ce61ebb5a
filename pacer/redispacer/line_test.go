package redispacer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A waiter is a process in line.
type waiter struct {
	who, turn int
	waits     bool          // or has had a start lately
	by        time.Duration // from the test's beginning
}

func (f *fakeRedis) setLine(began time.Time, all ...waiter) {
	var bytes []byte
	for _, w := range all {
		turn := 2 * w.turn
		if w.waits {
			turn++
		}
		bytes = binary.BigEndian.AppendUint32(bytes, uint32(w.who))
		bytes = binary.BigEndian.AppendUint32(bytes, uint32(turn))
		bytes = append(bytes, binary.BigEndian.AppendUint64(nil, uint64(began.Add(w.by).UnixMilli()))[2:]...)
	}
	f.keys[lineKey] = &fakeKey{value: bytes, expires: began.Add(time.Hour)}
}

const lineKey = "pacedhttp:v2:{quota}:line"

// line tells of each process in line its number, its turn, and until when it waits (<) or when it
// has had a start (@).
func (f *fakeRedis) line(began time.Time) string {
	var all []string
	for bytes := f.key(lineKey).value; len(bytes) > 0; bytes = bytes[14:] {
		turn := binary.BigEndian.Uint32(bytes[4:])
		by := time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, bytes[8:14]...)))).Sub(began)
		one := fmt.Sprintf("%d:%d", binary.BigEndian.Uint32(bytes), turn/2)
		if turn%2 == 1 {
			one += fmt.Sprintf("<%d", by.Milliseconds())
		} else {
			one += fmt.Sprintf("@%d", by.Milliseconds())
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

// Of starts that are 500 ms apart the first has happened 100 ms ago. Process 1 asks for another.
func TestTurns(t *testing.T) {
	later := 500 * ms
	for _, tt := range []struct {
		name string
		line []waiter
		ask  time.Duration
		want string // the line
	}{
		{"nobody waits", nil, 390 * ms, "1:0<520"},
		{"who is new comes in the next round", []waiter{{2, 3, true, later}}, 430 * ms, "2:3<500 1:4<560"},
		{"and behind those who are in it", []waiter{{2, 3, true, later}, {3, 4, true, later}}, 460 * ms, "2:3<500 3:4<500 1:4<590"},
		{"and before those who are in later ones", []waiter{{2, 3, true, later}, {3, 5, true, later}}, 430 * ms, "2:3<500 3:5<500 1:4<560"},
		{"as long as few are before it, it stands by", []waiter{{2, 3, true, later}, {3, 4, true, later}, {4, 4, true, later}}, 490 * ms, "2:3<500 3:4<500 4:4<500 1:4<620"},
		{"else it asks within a second", []waiter{{2, 3, true, later}, {3, 4, true, later}, {4, 4, true, later}, {5, 4, true, later}}, 899999 * time.Microsecond, "2:3<500 3:4<500 4:4<500 5:4<500 1:4<1029"},
		{"who waits keeps its place", []waiter{{1, 3, true, later}, {2, 3, true, later}}, 390 * ms, "1:3<520 2:3<500"},
		{"behind those of its round before it", []waiter{{2, 3, true, later}, {1, 3, true, later}, {3, 3, true, later}}, 430 * ms, "2:3<500 1:3<560 3:3<500"},
		{"behind each round that others have to come", []waiter{{1, 5, true, later}, {2, 3, true, later}}, 460 * ms, "1:5<590 2:3<500"},
		{"who is late has lost its place", []waiter{{1, 3, true, 99 * ms}, {2, 3, true, later}}, 430 * ms, "2:3<500 1:3<560"},
		{"and is at most a round ahead", []waiter{{1, 1, true, 99 * ms}, {2, 3, true, later}}, 390 * ms, "2:3<500 1:2<520"},
		{"in the same round it is behind", []waiter{{1, 2, true, 99 * ms}, {2, 3, true, later}, {3, 2, true, later}}, 430 * ms, "2:3<500 3:2<500 1:2<560"},
		{"in the last moment it is not late", []waiter{{1, 3, true, 100 * ms}, {2, 3, true, later}}, 390 * ms, "1:3<520 2:3<500"},
		{"nobody waits for who is late", []waiter{{2, 3, true, 99 * ms}}, 390 * ms, "2:3<99 1:0<520"},
		{"but in the last moment", []waiter{{2, 3, true, 100 * ms}}, 430 * ms, "2:3<100 1:4<560"},
		{"nor for who has had a start", []waiter{{2, 3, false, later}}, 390 * ms, "2:3@500 1:0<520"},
		{"who has had a start has a turn", []waiter{{1, 4, false, later}, {2, 3, true, later}}, 430 * ms, "2:3<500 1:4<560"},
		{"at most a round ahead", []waiter{{1, 0, false, later}, {2, 3, true, later}}, 390 * ms, "2:3<500 1:2<520"},
		{"for a second", []waiter{{2, 3, false, -900 * ms}, {3, 3, true, -900 * ms}}, 390 * ms, "2:3@-900 3:3<-900 1:0<520"},
		{"and no longer", []waiter{{2, 3, false, -901 * ms}, {3, 3, true, -901 * ms}}, 390 * ms, "1:0<520"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				began := time.Now()
				s := newScripted(t, f, 1, pacer.Limit{Calls: 1, Period: 500 * ms, Even: true})
				s.want(1)
				time.Sleep(100 * ms)
				f.setLine(began, tt.line...)
				got := s.want(1)
				if len(got.starts) > 0 || got.ask != tt.ask {
					t.Errorf("%d starts, to ask again in %v, want %v", len(got.starts), got.ask, tt.ask)
				}
				if line := f.line(began); line != tt.want {
					t.Errorf("line %q, want %q", line, tt.want)
				}
				if left := time.Until(f.key(lineKey).expires); left != 2*poll+10*ms {
					t.Errorf("the line expires in %v, want 2s and the horizon", left)
				}
			})
		})
	}
}

// Who has had a start has its turn in the next round, if others wait.
func TestTurnsAfterAStart(t *testing.T) {
	later := 700 * ms
	for _, tt := range []struct {
		name    string
		calls   int
		n       int // wanted
		horizon time.Duration
		line    []waiter
		starts  int
		ask     time.Duration
		want    string
	}{
		{"alone", 2, 1, 0, nil, 1, 0, ""},
		{"behind nobody who waits", 2, 1, 0, []waiter{{2, 3, false, later}}, 1, 0, "2:3@700"},
		{"whose turn it was", 2, 1, 0, []waiter{{1, 3, true, later}, {2, 3, true, later}}, 1, 0, "2:3<700 1:4@600"},
		{"whose turn it was not: what is possible now is for who asks", 2, 1, 0, []waiter{{2, 3, true, later}}, 1, 0, "2:3<700 1:5@600"},
		{"who waits for more", 2, 3, 0, []waiter{{1, 3, true, later}, {2, 5, true, later}}, 2, 490 * ms, "2:5<700 1:5<1120"},
		{"who waits for more behind those of the next round", 1, 2, 0, []waiter{{1, 3, true, later}, {2, 4, true, later}}, 1, 530 * ms, "2:4<700 1:4<1160"},
		{"who asks for nothing goes on waiting", 2, 0, 0, []waiter{{1, 3, true, later}, {2, 3, true, later}}, 0, 0, "1:3<700 2:3<700"},
		{"for as long as its start lies ahead", 2, 3, 500 * ms, []waiter{{2, 9, true, later}, {1, 3, true, later}}, 3, 0, "2:9<700 1:6@1100"},
		{"with another's turn ahead", 2, 3, 500 * ms, []waiter{{2, 3, true, later}, {1, 3, true, later}}, 2, 500 * ms, "2:3<700 1:5<1620"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				began := time.Now()
				s := newScripted(t, f, 1, pacer.Limit{Calls: tt.calls, Period: 500 * ms})
				time.Sleep(600 * ms)
				f.setLine(began, tt.line...)
				got := s.run(request{wanted: make([][]int, tt.n), horizon: tt.horizon})
				if len(got.starts) != tt.starts || got.ask != tt.ask {
					t.Errorf("%d starts, to ask again in %v, want %d and %v", len(got.starts), got.ask, tt.starts, tt.ask)
				}
				if line := f.line(began); line != tt.want {
					t.Errorf("line %q, want %q", line, tt.want)
				}
			})
		})
	}
}

// Who is asked to wait is not asked together with all others, and keeps its promise as long as it
// takes.
func TestWhoWaitsLongAsksAtATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		began := time.Now()
		newScripted(t, f, 1, perSecond(1, true)).want(1)
		for _, tt := range []struct {
			me  int64
			ask time.Duration
		}{{200_000, 800 * ms}, {250_000 + 200_000, 800 * ms}, {3, time.Second - 3*time.Microsecond}} {
			s := newScripted(t, f, tt.me, perSecond(1, true))
			f.setLine(began, waiter{2, 0, true, time.Hour}, waiter{2, 0, true, time.Hour}, waiter{2, 0, true, time.Hour}, waiter{2, 0, true, time.Hour})
			if got := s.want(1).ask; got != tt.ask {
				t.Errorf("%d is to ask in %v, want %v", tt.me, got, tt.ask)
			}
		}
	})
}

// Behind k others one is told when, after their starts, its own is due.
func TestWhoIsFarBehindAsksWhenItsTurnComes(t *testing.T) {
	for name, tt := range map[string]struct {
		limit pacer.Limit
		cost  int
		want  []int // the ask of who is 4th to 9th in line, in milliseconds
	}{
		"a window":     {pacer.Limit{Calls: 3, Period: 150 * ms}, 0, []int{270, 280, 410, 420, 430, 560}},
		"even starts":  {pacer.Limit{Calls: 10, Period: time.Second, Even: true}, 0, []int{460, 560, 660, 760, 860, 960}},
		"costs":        {tokens(100, 150*ms), 30, []int{270, 280, 410, 420, 430, 560}},
		"large costs":  {tokens(100, 150*ms), 60, []int{710, 860, 1000, 1000, 1000, 1000}},
		"a bucket":     {pacer.Limit{Calls: 10, Period: time.Second, Bucket: 3}, 1, []int{460, 560, 660, 760, 860, 960}},
		"cost buckets": {pacer.Limit{Cost: 100, Unit: "tokens", Period: time.Second, Bucket: 30}, 10, []int{460, 560, 660, 760, 860, 960}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, want := range tt.want {
				synctest.Test(t, func(t *testing.T) {
					f := newFakeRedis(t)
					began := time.Now()
					s := newScripted(t, f, 220_000, tt.limit)
					req := request{wanted: [][]int{slices.Repeat([]int{tt.cost}, s.units)}}
					for range 3 {
						s.run(req)
						time.Sleep(10 * ms)
					}
					var before []waiter
					for range 4 + i {
						before = append(before, waiter{2, 0, true, time.Hour})
					}
					f.setLine(began, before...)
					if got := s.run(req); len(got.starts) > 0 || got.ask.Round(ms) != time.Duration(want)*ms {
						t.Errorf("with %d before it: %d starts, to ask in %v, want %dms", 4+i, len(got.starts), got.ask, want)
					}
				})
			}
		})
	}
}

// So it is in a pause, be all that was started long ago.
func TestWhoIsFarBehindInAPauseAsksWhenItsTurnComes(t *testing.T) {
	for name, limit := range map[string]pacer.Limit{
		"a window": {Calls: 3, Period: 150 * ms}, "costs": tokens(3, 150*ms),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis(t)
				began := time.Now()
				s := newScripted(t, f, 250_000, limit)
				s.run(request{pause: 50 * ms})
				f.setLine(began, slices.Repeat([]waiter{{2, 0, true, time.Hour}}, 4)...)
				if got := s.run(request{wanted: [][]int{slices.Repeat([]int{1}, s.units)}}); got.ask != 140*ms {
					t.Errorf("with 4 before it, to ask in %v, want 140ms", got.ask)
				}
			})
		})
	}
}

// Beyond 2112 no time fits into the record.
func TestNobodyStartsWhenNoTimeFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		f.skew = time.Until(time.Date(2112, 9, 1, 0, 0, 0, 0, time.UTC))
		if got := newScripted(t, f, 1, perSecond(1, false)).want(1); len(got.starts) > 0 || got.ask <= 0 {
			t.Errorf("%+v, want no start, and to ask again", got)
		}
	})
}

// Who asks twice in a moment leaves all as it was: nothing is written.
func TestAskingAgainWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis(t)
		a, b := newScripted(t, f, 1, perSecond(1, false)), newScripted(t, f, 2, perSecond(1, false))
		a.want(0)
		a.want(1)
		written := f.writes
		a.want(0)
		if f.writes != written {
			t.Errorf("who asks for nothing wrote %d times", f.writes-written)
		}
		b.want(1)
		written = f.writes
		b.want(1)
		if f.writes != written {
			t.Errorf("who asks again wrote %d times", f.writes-written)
		}
	})
}
