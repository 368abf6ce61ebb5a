package sdks_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp/examples/sdks/internal/vendor"
)

// A failure is what becomes of the first request of a call, in the vendor's words.
type failure struct {
	name  string
	serve func(api *vendor.API, w http.ResponseWriter, r *vendor.Request)
}

var failures = []failure{
	{"throttled", func(api *vendor.API, w http.ResponseWriter, _ *vendor.Request) {
		left := make([]vendor.Left, len(api.Limits))
		for i, l := range api.Limits {
			left[i] = vendor.Left{Limit: l, Reset: time.Second}
		}
		if api.Tell != nil {
			api.Tell(w.Header(), left)
		}
		api.Refuse(w, vendor.Refusal{Limit: api.Limits[0], Wait: time.Second})
	}},
	failed(http.StatusConflict, ""),
	failed(http.StatusInternalServerError, ""),
	failed(http.StatusServiceUnavailable, ""),
	failed(http.StatusServiceUnavailable, "1"),
	{"broken connection", func(*vendor.API, http.ResponseWriter, *vendor.Request) { panic(http.ErrAbortHandler) }},
}

// failed is a failure with a status of its own.
func failed(status int, retryAfter string) failure {
	name := fmt.Sprint(status)
	if retryAfter != "" {
		name += ", Retry-After"
	}
	return failure{name, func(api *vendor.API, w http.ResponseWriter, r *vendor.Request) {
		api.Fail(&withStatus{w, status, retryAfter}, r)
	}}
}

// withStatus answers with a status and a delay, whatever the handler says.
type withStatus struct {
	http.ResponseWriter
	status     int
	retryAfter string
}

func (w *withStatus) WriteHeader(int) {
	w.Header().Del("Retry-After")
	if w.retryAfter != "" {
		w.Header().Set("Retry-After", w.retryAfter)
	}
	w.ResponseWriter.WriteHeader(w.status)
}

// What is mended alone must be mended with us; and README.md says what is.
func TestFailuresThatAnSDKMendsAloneAreMendedWithUs(t *testing.T) {
	var table strings.Builder
	table.WriteString("| SDK: its call |") // and what its first request meets with
	for _, f := range failures {
		fmt.Fprintf(&table, " %s |", f.name)
	}
	table.WriteString("\n| --- |" + strings.Repeat(" --- |", len(failures)) + "\n")
	for _, c := range contests {
		limits := parse(t, c.limits)
		fmt.Fprintf(&table, "| %s: %s |", c.sdk, c.call)
		for _, f := range failures {
			alone := c.mends(t, f, c.alone)
			paced := c.mends(t, f, func(base http.RoundTripper) program { return c.paced(base, c.quota(limits)) })
			fmt.Fprintf(&table, " %s |", map[[2]bool]string{
				{false, false}: "", {true, true}: "yes", {false, true}: "**with us**", {true, false}: "LOST",
			}[[2]bool{alone, paced}])
			if alone && !paced {
				t.Errorf("%s, %s: the call ends well alone and not with us", c.sdk, f.name)
			}
		}
		table.WriteString("\n")
	}
	if *update {
		if err := replaceTable("README.md", "failures", table.String()); err != nil {
			t.Error(err)
		}
	}
	if readme, err := os.ReadFile("README.md"); err != nil || !strings.Contains(string(readme), table.String()) {
		t.Errorf("README.md does not have this table, or another (go test -update writes it); %v\n%s", err, &table)
	}
}

// mends reports whether a call ends well whose first request fails.
func (c contest) mends(t *testing.T, f failure, wire func(http.RoundTripper) program) (well bool) {
	synctest.Test(t, func(t *testing.T) {
		api := c.api(parse(t, c.limits))
		first := true
		answer := api.Answer
		api.Answer = func(w http.ResponseWriter, r *vendor.Request) {
			if first {
				first = false
				f.serve(api, w, r)
				return
			}
			answer(w, r)
		}
		base, stop := vendor.Serve(api)
		defer stop()
		well = wire(base)(t.Context(), 1) == nil
		if first {
			t.Error("the server got no request")
		}
	})
	return well
}
