package redispacer

import (
	"context"
	"time"
)

// without paces a caller while Redis cannot be used: by Config.Fallback, or with the
// error that says why.
func (p *Pacer) without(ctx context.Context, err error) error {
	p.mu.Lock()
	if p.fallback == nil {
		p.counts.Unavailable++
		p.mu.Unlock()
		return err
	}
	p.counts.Fallback++
	p.mu.Unlock()
	if err := p.sitOut(ctx); err != nil {
		return err
	}
	return p.fallback.Wait(ctx)
}

// sitOut waits for the end of the pause, since the Fallback may know nothing of it.
func (p *Pacer) sitOut(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := p.resumes - p.clock.Now()
		if deadline, ok := ctx.Deadline(); ok && left > 0 && time.Until(deadline) <= left {
			err := p.refuse(left)
			p.mu.Unlock()
			return err
		}
		p.mu.Unlock()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return canceled(ctx)
		}
	}
}
