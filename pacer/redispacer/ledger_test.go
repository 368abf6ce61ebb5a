package redispacer

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// entries are the starts on a record, in order.
func entries(record []byte) []granted {
	if len(record) == 0 {
		return nil
	}
	field := func(i int) int64 { return int64(binary.BigEndian.Uint64(record[8*i:])) }
	room, ring, base, n, kept, size := field(1), field(11), field(12), field(13), field(14), 8+8*field(22)
	var all []granted
	for i := n - kept; i < n; i++ {
		e := record[8*room+(i-base)%ring*size:]
		low := int64(binary.BigEndian.Uint32(e[4:]))
		all = append(all, granted{int64(binary.BigEndian.Uint32(e))<<20 + low>>12, low & 0xfff})
	}
	return all
}

// A ledger is the starts that were on the record at some time, but for those given back.
type ledger struct {
	limit  pacer.Limit
	loses  bool // the record is lost, too
	losses []time.Time
	starts map[granted]bool
}

func newLedger(limit pacer.Limit, loses bool) ledger {
	return ledger{limit: limit, loses: loses, starts: make(map[granted]bool)}
}

// look keeps what is on the record, and forgets what was given back: what is there no more, but
// for the oldest, which make room.
func (l *ledger) look(entries []granted) {
	if len(entries) == 0 {
		return
	}
	now := make(map[granted]bool, len(entries))
	for _, e := range entries {
		now[e] = true
		l.starts[e] = true
	}
	for s := range l.starts {
		if s.at > entries[0].at && !now[s] {
			delete(l.starts, s)
		}
	}
}

// lost says that the record was lost just now.
func (l *ledger) lost() { l.losses = append(l.losses, time.Now()) }

// check looks for the longest time in which a start was possible and did not happen.
func (l *ledger) check(t *testing.T, began, end time.Time, bound time.Duration) {
	var starts []int64
	for s := range l.starts {
		starts = append(starts, s.at)
	}
	slices.Sort(starts)
	if !l.loses { // else who knows nothing of the last starts may begin anew
		checkWindows(t, starts, l.limit)
	}
	var longest time.Duration
	for i, at := range append(starts, end.UnixMicro()) {
		at = min(at, end.UnixMicro())
		from := began.UnixMicro()
		if n := i - l.limit.Calls; n >= 0 {
			from = max(from, starts[n]+l.limit.Period.Microseconds())
		}
		if i > 0 && l.limit.Even {
			from = max(from, starts[i-1]+l.limit.Period.Microseconds()/int64(l.limit.Calls))
		}
		for _, loss := range l.losses {
			// A standstill follows, of 5 s where it is noticed by one with a limit by the day.
			if calm := loss.Add(5*time.Second + 2*l.limit.Period + bound); at > loss.UnixMicro() {
				from = max(from, min(calm.UnixMicro(), at))
			}
		}
		if gap := micros(at - from); gap > longest {
			longest = gap
			if gap > bound {
				t.Errorf("at %v a start was possible for %v, and somebody waited", time.UnixMicro(from).Sub(began), gap)
			}
		}
		if at == end.UnixMicro() {
			break // later nobody need have started
		}
	}
	t.Logf("%d starts, %d losses, the longest that one was possible: %v", len(starts), len(l.losses), longest)
}
