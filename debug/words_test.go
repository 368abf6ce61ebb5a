package debug_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestDurationsAreReadAtAGlance(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{0, "now"}, {-time.Hour, "now"},
		{1, "in 1ms"}, {999 * time.Millisecond, "in 999ms"}, {999*time.Millisecond + 1, "in 1.0s"},
		{time.Second + 1, "in 1.1s"}, {9900 * time.Millisecond, "in 9.9s"}, {9900*time.Millisecond + 1, "in 10s"},
		{59 * time.Second, "in 59s"}, {59*time.Second + 1, "in 1m"}, {61 * time.Second, "in 1m1s"},
		{time.Hour - time.Second, "in 59m59s"}, {time.Hour - time.Second + 1, "in 1h"}, {61 * time.Minute, "in 1h1m"},
		{day - time.Minute, "in 23h59m"}, {day - time.Minute + 1, "in 1d"}, {day + 1, "in 1d1h"},
		{365 * day, "in 365d"}, {365*day + 1, "in over a year"}, {1<<63 - 1, "in over a year"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := only(pacer.Stats{Next: time.Now().Add(test.d)})
			page := ask(t, debug.Handler(debug.Pacer("p", s)), "GET", "/").Body.String()
			if !strings.Contains(page, `data-label="Next start" class="n">`+test.want+"</td>") {
				t.Errorf("%v is not shown as %q", test.d, test.want)
			}
		})
	}
}
