package waiter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/internal/waiter"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestANilPointerIsNothingToWaitFor(t *testing.T) {
	for _, nothing := range []any{nil, (*pacer.Pacer)(nil), interface{ Wait(context.Context) error }((*pacer.Pacer)(nil))} {
		if !waiter.IsNil(nothing) {
			t.Errorf("%T is taken for a Waiter", nothing)
		}
	}
	for _, some := range []any{new(pacer.Pacer), struct{}{}, func() {}} {
		if waiter.IsNil(some) {
			t.Errorf("%T is taken for nothing", some)
		}
	}
}

type named struct{}

func (named) Error() string     { return "named" }
func (named) ErrorType() string { return "named" }

func TestARefusalIsForTheDeadlinesSakeWhereItSaysSoOrSaysNothingNearIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unknown := errors.New("no")
		for _, c := range []struct {
			err  error
			left time.Duration // 0 = no deadline
			want bool
		}{
			{unknown, 0, false},
			{unknown, time.Minute, true},
			{unknown, time.Minute + 1, false},
			{named{}, time.Second, false},
			{errors.Join(unknown, named{}), time.Second, false},
			{context.DeadlineExceeded, 0, false},
			{context.DeadlineExceeded, time.Hour, true},
			{fmt.Errorf("%w: %w", named{}, context.DeadlineExceeded), time.Hour, true},
		} {
			ctx := t.Context()
			if c.left > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.left)
				defer cancel()
			}
			if got := waiter.TooLate(ctx, c.err); got != c.want {
				t.Errorf("%v with %v left: %v, want %v", c.err, c.left, got, c.want)
			}
		}
	})
}
