package otelpacedhttp

import (
	"context"
	"slices"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// callEvents returns hooks that tell the innermost call of their context what happens
// below it.
func callEvents() pacedhttp.Hooks {
	return pacedhttp.Hooks{
		SlotRequested:  tell((*call).slotRequested),
		SlotAcquired:   tell((*call).slotAcquired),
		SlotRefused:    tell((*call).slotRefused),
		Paused:         tell((*call).paused),
		AttemptStarted: tell((*call).attemptStarted),
		AttemptDone:    tell((*call).attemptDone),
		RetryScheduled: tell((*call).retryScheduled),
		GaveUp:         tell((*call).gaveUp),
		FallbackUsed:   tell((*call).fallbackUsed),
	}
}

func tell[Info any](event func(*call, context.Context, Info)) func(context.Context, Info) {
	return func(ctx context.Context, i Info) {
		if c := callFrom(ctx); c != nil {
			event(c, ctx, i)
		}
	}
}

func (c *call) slotRequested(ctx context.Context, i pacedhttp.SlotInfo) {
	m := &c.tel.metrics
	if !m.queued.Enabled(ctx) {
		return
	}
	server := c.serverOf(i.Request)
	m.queued.Add(ctx, 1, server.queue.add...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued++
	c.queue = server
}

// acquired is the pacing result of nearly every wait.
const acquired = "acquired"

func (c *call) slotAcquired(ctx context.Context, i pacedhttp.SlotInfo) {
	c.leaveQueue(ctx, i, true)
	m := &c.tel.metrics
	if m.timeInQueue.Enabled(ctx) {
		m.timeInQueue.Record(ctx, i.Waited.Seconds(), c.serverOf(i.Request).acquired.record...)
	}
}

func (c *call) slotRefused(ctx context.Context, i pacedhttp.SlotInfo) {
	c.leaveQueue(ctx, i, false)
	c.mu.Lock()
	c.refusal = (&pacedhttp.PaceError{Err: i.Err}).ErrorType()
	c.mu.Unlock()
	result := "rejected"
	switch {
	case abandoned(i.Request):
		result = "canceled"
	case isTimeout(i.Err) && hasDeadline(i.Request):
		result = "timeout"
	}
	m := &c.tel.metrics
	m.seconds(ctx, m.timeInQueue, i.Waited, labels{origin: originOf(i.Request), pacingResult: result})
}

func (c *call) paused(ctx context.Context, i pacedhttp.PauseInfo) {
	about := labels{origin: originOf(i.Request)}
	if i.Response != nil {
		about.status = i.Response.StatusCode
	} else {
		about.errorType = errorType(i.Request, i.Err)
	}
	c.tel.metrics.one(ctx, c.tel.metrics.pauses, about)
}

func (c *call) leaveQueue(ctx context.Context, i pacedhttp.SlotInfo, acquired bool) {
	attempt, _ := pacedhttp.AttemptFromContext(ctx)
	c.mu.Lock()
	c.waits++
	c.waited += i.Waited
	if acquired {
		c.slots.add(attempt.Number, i)
		c.fellBack = c.fellBack || i.Fallback != nil
	} else {
		c.slots.refuse(attempt.Number)
	}
	counted := c.queued > 0
	if counted {
		c.queued--
	}
	c.mu.Unlock()

	// A provider that came while the request waited did not see it come.
	if counted {
		c.tel.metrics.queued.Add(ctx, -1, c.serverOf(i.Request).queue.add...)
	}
}

func (c *call) attemptStarted(_ context.Context, i pacedhttp.AttemptStart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = ""
	c.slots.begin(i.Number)
	if c.underWay == nil {
		c.underWay = c.one[:0]
	}
	c.underWay = append(c.underWay, i.Number)
	c.begun.sends++
	if i.Number > 1 {
		c.begun.retries++
		if c.unsent == nil {
			c.unsent = make(map[int]int)
		}
		c.unsent[i.Number]++
	}
}

// attemptDone forgets what an attempt has not sent, unless that may be another's of the same
// number: of a Retry layer that works beside it.
func (c *call) attemptDone(_ context.Context, i pacedhttp.AttemptResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := slices.Index(c.underWay, i.Number); at >= 0 {
		c.underWay = slices.Delete(c.underWay, at, at+1)
	}
	if !slices.Contains(c.underWay, i.Number) {
		c.slots.end(i.Number)
		delete(c.unsent, i.Number)
	}
}

func (c *call) retryScheduled(_ context.Context, i pacedhttp.RetryInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backoffs++
	c.delayed += i.Delay
	c.backoffEnd = time.Now().Add(i.Delay)
}

func (c *call) gaveUp(ctx context.Context, i pacedhttp.CallInfo) {
	c.mu.Lock()
	reason := string(i.Reason)
	refused := (i.Reason == retrypolicy.ReasonNotRetryable || i.Reason.Pacing()) && c.refusal != ""
	if refused { // by the pacer, not by the policy
		reason = c.refusal
	}
	c.reason = reason
	c.mu.Unlock()
	if i.Attempts > 0 && (refused || isDenial(i.Reason)) {
		c.tel.metrics.one(ctx, c.tel.metrics.denials, labels{origin: originOf(i.Request), denialReason: reason})
	}
}

// isDenial reports whether r stands in the way of a retry that might have helped.
func isDenial(r retrypolicy.Reason) bool {
	switch r {
	case retrypolicy.ReasonAccepted, retrypolicy.ReasonNotRetryable, retrypolicy.ReasonCanceled:
		return false
	}
	return true
}

func (c *call) fallbackUsed(ctx context.Context, i pacedhttp.FallbackInfo) {
	c.mu.Lock()
	c.fallback = true
	c.mu.Unlock()
	about := labels{origin: originOf(i.Request)}
	if i.Err != nil {
		if about.errorType = outcomeOf(i.Request, nil, i.Err).errorType; about.errorType == "" {
			return // the caller left: it neither answered nor failed
		}
	}
	c.tel.metrics.one(ctx, c.tel.metrics.fallbacks, about)
}
