package main

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pacedhttp/pacedhttp/internal/demo"
)

func TestAPacerThatHearsOfFailuresDoesNotFeedAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := outageLoad(defaults(t))
		results := playOutage(cfg, func(api *demo.API) (http.RoundTripper, string, func()) {
			return inProcess{api}, "http://api.test", func() {}
		})
		retries, outage := results[0], results[1]
		if err := outage.broken(cfg); err != nil {
			t.Error(err)
		}
		if outage.fed() > 33 || retries.fed() < 2*outage.fed() {
			t.Errorf("%d and %d requests into the outage, want much fewer with Config.Outage", retries.fed(), outage.fed())
		}
		var out strings.Builder
		screen{demo.Screen{Writer: &out, Width: 80}}.outage(cfg, results)
		picture := out.String()
		if rows := strings.SplitAfter(picture, "\n"); !strings.Contains(rows[4], "●▲▲▲▲▲▲▲▲▲") || !strings.Contains(rows[5], "▲ ") {
			t.Errorf("want a solid row and one with gaps:\n%s", picture)
		}
		for line := range strings.Lines(picture) {
			if len([]rune(line)) > 81 {
				t.Errorf("wider than the screen: %q", line)
			}
		}
	})
}
