package redispacer

// demand returns for how many callers the next round trip should reserve a start: none
// as long as it can be put off in favour of a fuller one. It needs p.mu.
func (p *Pacer) demand() int {
	missing := p.queue.len - p.queue.asked
	ahead := len(p.slots) + p.trips.asked
	if missing < p.lease && ahead > min(p.lease, p.queue.len)/2 {
		return 0
	}
	return min(missing, p.lease)
}
