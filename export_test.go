package pacedhttp

import (
	"net/http"

	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// Discard is what the Retry layer does with a response that it will not deliver.
func Discard(resp *http.Response) {
	last := setAside(resp, nil)
	last.forget()
}

// ReportOf is what a Pace layer tells a slot of a result.
func ReportOf(resp *http.Response, err error, v retrypolicy.Verdict) (o pacer.Outcome, is bool) {
	is = known(&o, new(http.Request), resp, err, v, nil)
	return o, is
}
