package vendor

import (
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A meter counts what is used of one limit, with code that it shares with no pacer.
type meter struct {
	pacer.Limit
	used []use // of a window, the oldest first
	// A bucket's level, and since when it is that.
	level float64
	at    time.Time
}

type use struct {
	at   time.Time
	cost int
}

// A Left is what a vendor says is left of a limit.
type Left struct {
	pacer.Limit
	Remaining int
	Reset     time.Duration // until the oldest use is forgotten, or the bucket is full
}

func newMeter(l pacer.Limit, now time.Time) *meter {
	return &meter{Limit: l, level: float64(l.Bucket), at: now}
}

// size is how much the limit allows at once.
func (m *meter) size() int {
	if m.Bucket > 0 {
		return m.Bucket
	}
	return max(m.Calls, m.Cost)
}

// flow brings the meter up to now: what is older than the period is forgotten, and what has
// flowed back is in the bucket.
func (m *meter) flow(now time.Time) {
	m.level = min(float64(m.Bucket), m.level+now.Sub(m.at).Seconds()/m.Period.Seconds()*float64(max(m.Calls, m.Cost)))
	m.at = now
	for len(m.used) > 0 && now.Sub(m.used[0].at) >= m.Period {
		m.used = m.used[1:]
	}
}

func (m *meter) remaining() float64 {
	if m.Bucket > 0 {
		return m.level
	}
	left := m.size()
	for _, u := range m.used {
		left -= u.cost
	}
	return float64(left)
}

// wait returns for how long cost is too much.
func (m *meter) wait(cost int) time.Duration {
	const dust = 1e-6 // of a division
	missing := float64(cost) - m.remaining()
	if missing <= dust {
		return 0
	}
	if m.Bucket > 0 {
		return time.Duration(missing / float64(max(m.Calls, m.Cost)) * float64(m.Period))
	}
	for _, u := range m.used {
		if missing -= float64(u.cost); missing <= 0 {
			return u.at.Add(m.Period).Sub(m.at)
		}
	}
	return m.Period
}

func (m *meter) charge(cost int) {
	m.level -= float64(cost)
	m.used = append(m.used, use{m.at, cost})
}

func (m *meter) left() Left {
	l := Left{Limit: m.Limit, Remaining: max(0, int(m.remaining()))}
	switch {
	case m.Bucket > 0:
		l.Reset = m.wait(m.Bucket)
	case len(m.used) > 0:
		l.Reset = m.used[0].at.Add(m.Period).Sub(m.at)
	}
	return l
}
