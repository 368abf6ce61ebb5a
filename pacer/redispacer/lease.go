package redispacer

// maxAhead is for how many callers starts are reserved at most. Should all of them leave,
// all these starts can be given back: the script's SLACK is that large.
const maxAhead = 1000

// demand returns for how many callers the next round trip should reserve a start: none
// as long as it can be put off in favour of a fuller one. It needs p.mu.
func (p *Pacer) demand() int {
	missing := p.queue.len - p.queue.asked
	ahead := len(p.slots) + p.trips.asked
	if missing < p.lease && ahead > min(p.lease, p.queue.len)/2 {
		return 0
	}
	return max(0, min(missing, p.lease, maxAhead-ahead))
}
