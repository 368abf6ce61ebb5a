package retrypolicy

import (
	"math"
	"testing"
	"time"
)

const draws = 2000

func TestConstantDelay(t *testing.T) {
	for _, retry := range []int{1, 35, 64, 1000, math.MaxInt} {
		if d := Constant(time.Second).Delay(retry, time.Hour); d != time.Second {
			t.Errorf("retry %d: %v, want 1s", retry, d)
		}
	}
	if d := Constant(-time.Second).Delay(1, 0); d != 0 {
		t.Errorf("a negative constant gives %v, want 0", d)
	}
}

func TestExponentialCeilingIsExactAtEveryRetry(t *testing.T) {
	const base, top = 100 * time.Millisecond, 10 * time.Second
	for _, c := range []struct {
		base, max time.Duration
		retry     int
		want      time.Duration
	}{
		{base, top, 0, base},
		{base, top, 1, base},
		{base, top, 2, 2 * base},
		{base, top, 7, 64 * base},
		{base, top, 8, top},
		{base, top, 35, top},
		{base, top, 64, top},
		{base, top, 65, top},
		{base, top, 1000, top},
		{base, top, math.MaxInt, top},
		{base, top, math.MinInt, base},
		{1, math.MaxInt64, 35, 1 << 34},
		{1, math.MaxInt64, 63, 1 << 62},
		{1, math.MaxInt64, 64, math.MaxInt64},
		{3, math.MaxInt64, 62, 3 << 61},
		{3, math.MaxInt64, 63, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, 2, math.MaxInt64},
		{0, top, 1, 0},
		{0, top, 64, 0},
		{0, top, math.MaxInt, 0},
		{-1, top, 5, 0},
		{top, base, 1, base},
		{top, base, 64, base},
		{base, 0, 1, 0},
		{0, 0, 1, 0},
	} {
		if got := (exponential{c.base, c.max}).ceiling(c.retry); got != c.want {
			t.Errorf("Exponential(%v, %v): the ceiling of retry %d is %v, want %v", c.base, c.max, c.retry, got, c.want)
		}
	}
}

func TestFullJitterFillsTheRangeUpToTheCap(t *testing.T) {
	const base, top = 100 * time.Millisecond, 10 * time.Second
	for _, c := range []struct {
		retry   int
		ceiling time.Duration
	}{{1, base}, {3, 4 * base}, {35, top}, {64, top}, {1000, top}, {math.MaxInt, top}} {
		checkFills(t, Exponential(base, top), c.retry, 0, 0, c.ceiling)
	}
}

func TestDecorrelatedJitterFillsTheRangeUpToTheCap(t *testing.T) {
	const base, top = 100 * time.Millisecond, 10 * time.Second
	for _, c := range []struct{ previous, ceiling time.Duration }{
		{0, 3 * base}, {-1, 3 * base}, {base, 3 * base}, {time.Second, 3 * time.Second},
		{4 * time.Second, top}, {top, top}, {time.Hour, top}, {math.MaxInt64, top},
	} {
		for _, retry := range []int{1, 35, 64, 1000, math.MaxInt} {
			checkFills(t, Decorrelated(base, top), retry, c.previous, base, c.ceiling)
		}
	}
}

// checkFills draws delays and looks for one outside the range, and for one in each
// tenth of it, which chance leaves empty once in 10⁹⁰ runs.
func checkFills(t *testing.T, b Backoff, retry int, previous, low, high time.Duration) {
	t.Helper()
	var tenths [10]int
	for range draws {
		d := b.Delay(retry, previous)
		if d < low || d > high {
			t.Fatalf("retry %d after %v: %v is outside %v to %v", retry, previous, d, low, high)
		}
		tenths[min(9, int(10*(d-low)/(high-low)))]++
	}
	for i, n := range tenths {
		if n == 0 {
			t.Errorf("retry %d after %v: no delay in tenth %d of %v to %v", retry, previous, i, low, high)
		}
	}
}

func TestJitterIncludesBothEnds(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range draws {
		seen[Exponential(2, 2).Delay(1, 0)] = true
	}
	if len(seen) != 3 || !seen[0] || !seen[2] {
		t.Errorf("drew %v, want 0, 1 and 2", seen)
	}
}

func TestBackoffEdgesNeverPanicNorGoNegative(t *testing.T) {
	values := []time.Duration{math.MinInt64, -1, 0, 1, time.Second, math.MaxInt64}
	for _, base := range values {
		for _, top := range values {
			for _, previous := range values {
				for _, retry := range []int{math.MinInt, 0, 1, 35, 64, 1000, math.MaxInt} {
					for _, b := range []Backoff{Constant(base), Exponential(base, top), Decorrelated(base, top)} {
						d := b.Delay(retry, previous)
						if _, is := b.(constant); d < 0 || d > max(0, top) && !is {
							t.Errorf("%#v retry %d after %v: %v", b, retry, previous, d)
						}
					}
				}
			}
		}
	}
}

func TestBaseZeroMeansNoDelay(t *testing.T) {
	for _, b := range []Backoff{Exponential(0, time.Hour), Decorrelated(0, time.Hour)} {
		if d := b.Delay(64, time.Minute); d != 0 {
			t.Errorf("%#v: %v, want 0", b, d)
		}
	}
}
