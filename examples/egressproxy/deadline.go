package main

import (
	"context"
	"time"
)

// answerBy is a context that ends unless the answer's headers come in time, and not for a body
// that takes longer: so no timeout cuts a stream, and whoever asks for the deadline knows it in
// advance.
type answerBy struct {
	context.Context                 // that of the request: its values
	ended           context.Context // what ends
	at              time.Time
	timer           *time.Timer
}

// newAnswerBy returns such a context, and what ends it in any case.
func newAnswerBy(ctx context.Context, timeout time.Duration) (*answerBy, context.CancelFunc) {
	ended, end := context.WithCancelCause(ctx)
	a := &answerBy{Context: ctx, ended: ended, at: time.Now().Add(timeout)}
	a.timer = time.AfterFunc(timeout, func() { end(context.DeadlineExceeded) })
	return a, func() { a.timer.Stop(); end(nil) }
}

// answered says that the headers are here. The deadline of what is left is no other's.
func (a *answerBy) answered() { a.timer.Stop() }

// Deadline implements [context.Context].
func (a *answerBy) Deadline() (time.Time, bool) { return a.at, true }

// Done implements [context.Context].
func (a *answerBy) Done() <-chan struct{} { return a.ended.Done() }

// Err implements [context.Context].
func (a *answerBy) Err() error {
	if context.Cause(a.ended) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return a.ended.Err()
}

// Value implements [context.Context].
func (a *answerBy) Value(key any) any {
	if key == (answerByKey{}) {
		return a
	}
	return a.Context.Value(key)
}

type answerByKey struct{}

// AfterFunc is what package context registers children by. Without it each costs a goroutine.
func (a *answerBy) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(a.ended, f) }
