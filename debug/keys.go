package debug

import (
	"cmp"
	"container/heap"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/pacedhttp/pacedhttp/pacer"
)

const maxShown = 100 // keys

// A keyedView is the sums over all keys, and the busiest of them.
type keyedView struct {
	Name     string         `json:"name"`
	Keys     int            `json:"keys"`
	States   map[string]int `json:"states"`
	Waiting  int            `json:"waiting"`
	InFlight int            `json:"in_flight"`
	Granted  uint64         `json:"granted"`
	Rejected uint64         `json:"rejected"`
	Canceled uint64         `json:"canceled"`
	Late     uint64         `json:"late"`
	Busiest  []pacerView    `json:"busiest"`
}

func (h *handler) lookAtKeys(s Source) keyedView {
	type entry struct {
		key   string
		pacer *pacer.Pacer
	}
	// All may hold a lock that the Stats of a pacer that was forgotten needs, so it ends first.
	var all []entry
	for key, p := range s.keys.All() {
		all = append(all, entry{key, p})
	}
	v := keyedView{Name: printable(s.name), Keys: len(all), States: map[string]int{}, Busiest: []pacerView{}}
	var shown quietest
	number := h.numbers()
	for _, e := range all {
		stats := e.pacer.Stats()
		v.States[stats.State.String()]++
		v.Waiting += stats.Waiting
		v.InFlight += stats.InFlight
		v.Granted += stats.Granted
		v.Rejected += stats.Rejected
		v.Canceled += stats.Canceled
		v.Late += stats.Late
		one := keyStats{key: e.key, number: number(e.key), stats: stats, fullest: fullest(stats)}
		switch {
		case len(shown) < maxShown:
			heap.Push(&shown, one)
		case busier(one, shown[0]) < 0:
			shown[0] = one
			heap.Fix(&shown, 0)
		}
	}
	slices.SortFunc(shown, busier)
	for _, one := range shown {
		name := ""
		if s.show != nil {
			name = s.show(one.key)
		}
		if name == "" {
			name = fmt.Sprintf("#%08x", one.number>>32)
		}
		v.Busiest = append(v.Busiest, viewOf(name, one.stats))
	}
	return v
}

// numbers returns a function that gives each key its number, for one goroutine.
func (h *handler) numbers() func(key string) uint64 {
	mac := hmac.New(sha256.New, h.secret)
	return func(key string) uint64 {
		mac.Reset()
		io.WriteString(mac, key)
		return binary.BigEndian.Uint64(mac.Sum(nil))
	}
}

func newSecret() []byte {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails
	return secret
}

type keyStats struct {
	key     string
	number  uint64
	stats   pacer.Stats
	fullest float64
}

// busier compares by what an operator looks for first; less than 0 means that a is busier. Keys
// that are equally busy are in the order of their numbers: so they do not change places, and their
// places tell nothing of the keys.
func busier(a, b keyStats) int {
	return cmp.Or(
		cmp.Compare(b.stats.Waiting, a.stats.Waiting),
		cmp.Compare(b.stats.State, a.stats.State),
		cmp.Compare(b.stats.InFlight, a.stats.InFlight),
		cmp.Compare(b.fullest, a.fullest),
		cmp.Compare(b.stats.Granted, a.stats.Granted),
		cmp.Compare(a.number, b.number),
	)
}

// fullest returns the part of its fullest limit that a pacer has used.
func fullest(s pacer.Stats) (most float64) {
	for _, l := range s.Limits {
		if n := size(l.Limit); n > 0 {
			most = max(most, float64(l.Used)/float64(n))
		}
	}
	return most
}

// quietest is a heap whose first is the least busy.
type quietest []keyStats

func (q quietest) Len() int           { return len(q) }
func (q quietest) Less(i, j int) bool { return busier(q[i], q[j]) > 0 }
func (q quietest) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *quietest) Push(x any)        { *q = append(*q, x.(keyStats)) }
func (q *quietest) Pop() any          { panic("the quietest are replaced") }
