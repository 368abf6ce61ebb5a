package pacedhttp_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestReportIsWhatThePolicySays(t *testing.T) {
	fine := &http.Response{StatusCode: 200}
	full := &http.Response{StatusCode: 429, Header: header("Retry-After", "7")}
	ages := &http.Response{StatusCode: 429, Header: header("Retry-After", "8000000")}
	never := &http.Response{StatusCode: 429, Header: header("Grpc-Retry-Pushback-Ms", "-1")}
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		resp    *http.Response
		err     error
		verdict retrypolicy.Verdict
		want    pacer.Outcome
		unknown bool
	}{
		"accepted response":        {resp: fine},
		"transient response":       {resp: fine, verdict: retrypolicy.Transient, want: pacer.Outcome{Failed: true}},
		"unprocessed response":     {resp: fine, verdict: retrypolicy.Unprocessed, want: pacer.Outcome{Failed: true}},
		"throttled response":       {resp: full, verdict: retrypolicy.Throttled, want: pacer.Outcome{Throttled: true, Delay: 7 * time.Second}},
		"throttled, no delay":      {resp: fine, verdict: retrypolicy.Throttled, want: pacer.Outcome{Throttled: true}},
		"throttled for ages":       {resp: ages, verdict: retrypolicy.Throttled, want: pacer.Outcome{Throttled: true, Delay: 24 * time.Hour}},
		"throttled for good":       {resp: never, verdict: retrypolicy.Throttled, want: pacer.Outcome{Failed: true}},
		"transient error":          {err: broken, verdict: retrypolicy.Transient, want: pacer.Outcome{Failed: true}},
		"unprocessed error":        {err: broken, verdict: retrypolicy.Unprocessed, want: pacer.Outcome{Failed: true}},
		"throttled error":          {err: broken, verdict: retrypolicy.Throttled, want: pacer.Outcome{Throttled: true}},
		"error that is no failure": {err: context.Canceled, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, known := pacedhttp.ReportOf(tt.resp, tt.err, tt.verdict)
			if !reflect.DeepEqual(got, tt.want) || known == tt.unknown {
				t.Errorf("report = %+v, %t; want %+v, %t", got, known, tt.want, !tt.unknown)
			}
		})
	}
}
