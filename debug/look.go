package debug

import (
	"encoding/json"
	"io"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

// A view is what one look at all sources saw.
type view struct {
	Now    time.Time   `json:"now"`
	Pacers []pacerView `json:"pacers"`
	Keyed  []keyedView `json:"keyed"`
}

type pacerView struct {
	Name        string      `json:"name"`
	State       string      `json:"state"`
	Cause       string      `json:"cause,omitempty"`
	PausedUntil time.Time   `json:"paused_until,omitzero"`
	Waiting     int         `json:"waiting"`
	InFlight    int         `json:"in_flight"`
	Oldest      time.Time   `json:"oldest_in_flight,omitzero"`
	Next        time.Time   `json:"next,omitzero"`
	Predicted   time.Time   `json:"predicted,omitzero"`
	Granted     uint64      `json:"granted"`
	Rejected    uint64      `json:"rejected"`
	Canceled    uint64      `json:"canceled"`
	Late        uint64      `json:"late"`
	Limits      []limitView `json:"limits,omitempty"`
	Quotas      []quotaView `json:"quotas,omitempty"`
}

type limitView struct {
	Limit    string    `json:"limit"`
	Size     int       `json:"size"`
	Used     int       `json:"used"`
	Left     int       `json:"left"`
	Uncosted uint64    `json:"uncosted"`
	Next     time.Time `json:"next,omitzero"`
}

type quotaView struct {
	Name      string    `json:"name"`
	Unit      string    `json:"unit"`
	Remaining int       `json:"remaining"`
	Limit     int       `json:"limit,omitempty"`
	Reset     time.Time `json:"reset,omitzero"`
}

// look asks each source how it stands, without a lock of its own: Stats locks its pacer for
// microseconds, and nothing of ours happens meanwhile.
func (h *handler) look() view {
	v := view{Pacers: []pacerView{}, Keyed: []keyedView{}}
	for _, s := range h.sources {
		switch {
		case s.stats != nil:
			v.Pacers = append(v.Pacers, viewOf(s.name, s.stats()))
		case s.keys != nil:
			v.Keyed = append(v.Keyed, h.lookAtKeys(s))
		}
	}
	v.Now = time.Now() // after all that was seen, so that what is due by then is due
	return v
}

func viewOf(name string, s pacer.Stats) pacerView {
	v := pacerView{
		Name:        printable(name),
		State:       s.State.String(),
		Cause:       printable(s.Cause),
		PausedUntil: s.PausedUntil,
		Waiting:     s.Waiting,
		InFlight:    s.InFlight,
		Oldest:      s.OldestInFlight,
		Next:        s.Next,
		Predicted:   s.Predicted,
		Granted:     s.Granted,
		Rejected:    s.Rejected,
		Canceled:    s.Canceled,
		Late:        s.Late,
	}
	for _, l := range s.Limits {
		v.Limits = append(v.Limits, limitView{
			Limit: l.Limit.String(), Size: size(l.Limit), Used: l.Used, Left: l.Left, Uncosted: l.Uncosted, Next: l.Next,
		})
	}
	for _, q := range s.Quotas {
		v.Quotas = append(v.Quotas, quotaView{
			Name: printable(q.Name), Unit: printable(q.Unit), Remaining: q.Remaining, Limit: q.Limit, Reset: q.Reset,
		})
	}
	return v
}

// size is the whole of which a limit's Used is a part.
func size(l pacer.Limit) int {
	if l.Bucket != 0 {
		return l.Bucket
	}
	return max(l.Calls, l.Cost)
}

func writeJSON(w io.Writer, v view) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
