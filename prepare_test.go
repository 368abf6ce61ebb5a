package pacedhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

func TestPrepareIsCalledJustBeforeEachSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, began := newScript(step{status: 503}), time.Now()
		rt := pacedhttp.New(base,
			pacedhttp.Retry(policyOf(3, time.Second)),
			pacedhttp.Pace(pacer.Drip(1, 3*time.Second)),
			pacedhttp.Prepare(func(req *http.Request, i pacedhttp.AttemptInfo) error {
				req.Header.Set("Signature", fmt.Sprintf("%v #%d paced=%v previous=%v", time.Since(began), i.Number, i.PacedFor, i.Previous))
				return nil
			}))
		send(t, rt, newRequest(t, "GET", nil))
		var got []string
		for _, r := range base.requests() {
			got = append(got, r.Header.Get("Signature"))
		}
		want := []string{"0s #1 paced=0s previous=0s", "3s #2 paced=2s previous=1s", "6s #3 paced=2s previous=1s"}
		if !slices.Equal(got, want) {
			t.Errorf("sent with %q, want %q", got, want)
		}
	})
}

func TestPrepareChangesACopy(t *testing.T) {
	req := newRequest(t, "PUT", strings.NewReader("payload"))
	req.Header.Set("Kept", "yes")
	req.Trailer = header("Sum", "1")
	base := newScript(step{status: 503}, step{})
	rt := pacedhttp.New(base,
		pacedhttp.Retry(policyOf(2, 0)),
		pacedhttp.Prepare(func(r *http.Request, i pacedhttp.AttemptInfo) error {
			if len(r.Header) != 1 || r.Header.Get("Kept") != "yes" || r.URL.Path != "/" {
				t.Errorf("attempt %d is given what an earlier one left: %v %v", i.Number, r.URL, r.Header)
			}
			r.Header.Set("Token", "fresh")
			r.Trailer.Set("Sum", "2")
			r.URL.Path = "/changed"
			r.Method = "POST"
			return nil
		}))
	if _, _, err := send(t, rt, req); err != nil {
		t.Fatal(err)
	}
	if req.Method != "PUT" || req.URL.Path != "/" || len(req.Header) != 1 || req.Trailer.Get("Sum") != "1" {
		t.Errorf("the caller's request became %s %v %v %v", req.Method, req.URL, req.Header, req.Trailer)
	}
	for _, r := range base.requests() {
		if r.Method != "POST" || r.URL.Path != "/changed" || r.Header.Get("Token") != "fresh" || r.body != "payload" {
			t.Errorf("sent %s %v %v %q", r.Method, r.URL, r.Header, r.body)
		}
	}
}

func TestPrepareWithoutRetryIsOfTheFirstAttempt(t *testing.T) {
	var got pacedhttp.AttemptInfo
	rt := pacedhttp.New(newScript(), pacedhttp.Prepare(func(_ *http.Request, i pacedhttp.AttemptInfo) error {
		got = i
		return nil
	}))
	send(t, rt, newRequest(t, "GET", nil))
	if got != (pacedhttp.AttemptInfo{Number: 1}) {
		t.Errorf("got %+v", got)
	}
}

func TestFailedPrepareSendsNothingAndIsNotRetried(t *testing.T) {
	noToken := errors.New("the token has expired")
	for name, above := range map[string][]pacedhttp.Middleware{
		"alone":              nil,
		"below Retry":        {pacedhttp.Retry(nil)},
		"below an eager one": {pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{Classify: func(retrypolicy.Attempt) retrypolicy.Verdict { return retrypolicy.Unprocessed }}))},
	} {
		t.Run(name, func(t *testing.T) {
			base, body, calls := newScript(), trackString("payload"), 0
			rt := pacedhttp.New(base, append(above, pacedhttp.Prepare(func(*http.Request, pacedhttp.AttemptInfo) error {
				calls++
				return noToken
			}))...)
			_, _, err := send(t, rt, newRequest(t, "PUT", body))
			if !errors.Is(err, noToken) || !strings.Contains(err.Error(), "pacedhttp: not sent: prepare: the token has expired") {
				t.Errorf("got %v", err)
			}
			if failure, ok := errors.AsType[*retrypolicy.Error](err); ok && failure.Reason != retrypolicy.ReasonNotRetryable {
				t.Errorf("the reason is %q", failure.Reason)
			}
			if calls != 1 || base.calls() != 0 {
				t.Errorf("prepared %d times, sent %d times", calls, base.calls())
			}
			body.wantClosedOnce(t)
		})
	}
}

func TestPrepareSeesTheAttemptsContext(t *testing.T) {
	rt := pacedhttp.New(newScript(), pacedhttp.Retry(nil), pacedhttp.Prepare(func(r *http.Request, i pacedhttp.AttemptInfo) error {
		if info, ok := pacedhttp.AttemptFromContext(r.Context()); !ok || info != i {
			t.Errorf("the context tells %+v, %v, want %+v", info, ok, i)
		}
		return context.Cause(r.Context())
	}))
	if _, _, err := send(t, rt, newRequest(t, "GET", nil)); err != nil {
		t.Error(err)
	}
}
