package retrypolicy

import (
	"context"
	"errors"
	"testing"
)

func TestInnermostOverrideWins(t *testing.T) {
	outer := Must(Config{MaxAttempts: 9, Backoff: Constant(0)})
	two, three := Must(Config{MaxAttempts: 2, Backoff: Constant(0)}), Must(Config{MaxAttempts: 3, Backoff: Constant(0)})
	with := func(p *Policy) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return WithPolicy(ctx, p) }
	}
	type wraps []func(context.Context) context.Context
	for _, c := range []struct {
		name  string
		wraps wraps // outermost first
		want  int   // attempts
	}{
		{"none", nil, 9},
		{"WithPolicy", wraps{with(two)}, 2},
		{"WithoutRetry", wraps{WithoutRetry}, 1},
		{"WithPolicy in WithPolicy", wraps{with(two), with(three)}, 3},
		{"WithoutRetry in WithPolicy", wraps{with(two), WithoutRetry}, 1},
		{"WithPolicy in WithoutRetry", wraps{WithoutRetry, with(two)}, 2},
		{"WithoutRetry again", wraps{WithoutRetry, with(two), WithoutRetry}, 1},
	} {
		ctx := t.Context()
		for _, wrap := range c.wraps {
			ctx = wrap(ctx)
		}
		calls := 0
		_, err := Do(ctx, outer, func(context.Context) (int, error) { calls++; return 0, errBoom })
		if calls != c.want || !errors.Is(err, errBoom) {
			t.Errorf("%s: %d calls, %v, want %d calls", c.name, calls, err, c.want)
		}
		if e, _ := errors.AsType[*Error](err); e.Reason != ReasonMaxAttempts {
			t.Errorf("%s: reason %q", c.name, e.Reason)
		}
	}
}

func TestForIsThePolicyItselfWithoutOverride(t *testing.T) {
	p, other := Must(Config{}), Must(Config{})
	for _, c := range []struct {
		ctx  context.Context
		want *Policy
	}{
		{t.Context(), p},
		{WithoutRetry(t.Context()), p},
		{WithPolicy(t.Context(), other), other},
		{WithoutRetry(WithPolicy(t.Context(), other)), other},
		{WithPolicy(t.Context(), nil), Default()},
	} {
		if got := p.For(c.ctx); got != c.want {
			t.Errorf("For: %p, want %p", got, c.want)
		}
	}
}

func TestWithoutRetryLeavesTheVerdictAsItIs(t *testing.T) {
	d := Default().Next(WithoutRetry(t.Context()), answered("GET", 429, "Retry-After", "5"))
	if d.Verdict != Throttled || d.Reason != ReasonMaxAttempts || d.Retry {
		t.Errorf("got %+v", d)
	}
}
