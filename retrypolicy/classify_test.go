package retrypolicy

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestDefaultStatuses(t *testing.T) {
	special := map[int]Verdict{
		408: Transient, 425: Transient, 500: Transient, 502: Transient, 503: Transient, 504: Transient,
		520: Transient, 521: Transient, 522: Transient, 523: Transient, 524: Transient,
		429: Throttled, 529: Throttled,
	}
	for status := 100; status < 600; status++ {
		if got := DefaultClassifier(Attempt{Response: response(status)}); got != special[status] {
			t.Errorf("%d is %v, want %v", status, got, special[status])
		}
	}
}

func TestStatusesWithRetryAfterAreThrottled(t *testing.T) {
	special := map[int]Verdict{
		408: Transient, 425: Transient, 500: Transient, 502: Transient, 504: Transient,
		520: Transient, 521: Transient, 522: Transient, 523: Transient, 524: Transient,
		429: Throttled, 503: Throttled, 403: Throttled, 529: Throttled,
		413: Unprocessed,
	}
	for status := 100; status < 600; status++ {
		if got := DefaultClassifier(Attempt{Response: response(status, "Retry-After", "1")}); got != special[status] {
			t.Errorf("%d with Retry-After is %v, want %v", status, got, special[status])
		}
	}
}

func TestExhaustedQuotaMakesA403Throttled(t *testing.T) {
	for remaining, want := range map[string]Verdict{"0": Throttled, "12": Accept} {
		r := response(403, "X-RateLimit-Remaining", remaining, "X-RateLimit-Reset", "30")
		if got := DefaultClassifier(Attempt{Response: r}); got != want {
			t.Errorf("403 with %s remaining is %v, want %v", remaining, got, want)
		}
	}
}

func TestIllegibleRetryAfterThrottlesNobody(t *testing.T) {
	for status, want := range map[int]Verdict{403: Accept, 413: Accept, 503: Transient, 429: Throttled} {
		if got := DefaultClassifier(Attempt{Response: response(status, "Retry-After", "soon")}); got != want {
			t.Errorf("%d is %v, want %v", status, got, want)
		}
	}
}

func TestExhaustedQuotaMakesNo413Temporary(t *testing.T) {
	r := response(413, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30")
	if got := DefaultClassifier(Attempt{Response: r}); got != Accept {
		t.Errorf("got %v", got)
	}
}

func TestShouldRetryGoesBeforeTheStatus(t *testing.T) {
	throttled := map[int]bool{429: true, 529: true}
	for _, name := range []string{"x-should-retry", "Stripe-Should-Retry"} {
		for status := 100; status < 600; status++ {
			plain := DefaultClassifier(Attempt{Response: response(status)})
			for value, want := range map[string]Verdict{"true": Unprocessed, "True": Unprocessed, "false": Accept, "FALSE": Accept, "maybe": plain, "": plain, "1": plain} {
				switch {
				case status < 400:
					want = Accept
				case want == Unprocessed && throttled[status]:
					want = Throttled
				}
				if got := DefaultClassifier(Attempt{Response: response(status, name, value)}); got != want {
					t.Errorf("%d with %s: %s is %v, want %v", status, name, value, got, want)
				}
			}
		}
		for status, want := range map[int]Verdict{429: Throttled, 529: Throttled, 503: Throttled, 403: Unprocessed, 413: Unprocessed, 500: Unprocessed, 409: Unprocessed} {
			if got := DefaultClassifier(Attempt{Response: response(status, name, "true", "Retry-After", "3")}); got != want {
				t.Errorf("%d with %s: true and a delay is %v, want %v", status, name, got, want)
			}
		}
	}
	for _, header := range [][]string{
		{"X-Should-Retry", "true", "Stripe-Should-Retry", "false"},
		{"X-Should-Retry", "false", "Stripe-Should-Retry", "true"},
		{"X-Should-Retry", "true", "X-Should-Retry", "false"},
		{"X-Should-Retry", "false", "X-Should-Retry", "true"},
		{"X-Should-Retry", "true, false"},
	} {
		if got := DefaultClassifier(Attempt{Response: response(503, header...)}); got != Accept {
			t.Errorf("%v: %v, want that false counts", header, got)
		}
	}
}

func TestNeitherResponseNorErrorIsASuccess(t *testing.T) {
	if got := DefaultClassifier(Attempt{}); got != Accept {
		t.Errorf("DefaultClassifier: %v", got)
	}
	always := Must(Config{Classify: func(Attempt) Verdict { return Transient }})
	if d := always.Next(t.Context(), Attempt{Number: 1, Replayable: true}); d.Reason != ReasonAccepted {
		t.Errorf("Next: %+v", d)
	}
}

func TestCombinators(t *testing.T) {
	errA, errB := errors.New("a"), errors.New("b")
	statuses := Statuses(Throttled, 404, 409)
	errs := Errors(Unprocessed, errA, errB)
	first := First(nil, statuses, errs, Statuses(Transient, 404, 418), DefaultClassifier)
	for _, c := range []struct {
		name     string
		classify Classifier
		a        Attempt
		want     Verdict
	}{
		{"Statuses, listed", statuses, Attempt{Response: response(409)}, Throttled},
		{"Statuses, other", statuses, Attempt{Response: response(500)}, Accept},
		{"Statuses, error", statuses, Attempt{Err: errA}, Accept},
		{"Statuses, nothing", statuses, Attempt{}, Accept},
		{"Statuses, response beside an error", statuses, Attempt{Response: response(404), Err: errA}, Accept},
		{"Errors, listed", errs, Attempt{Err: errB}, Unprocessed},
		{"Errors, wrapped", errs, Attempt{Err: fmt.Errorf("call: %w", errA)}, Unprocessed},
		{"Errors, other", errs, Attempt{Err: io.EOF}, Accept},
		{"Errors, response", errs, Attempt{Response: response(500)}, Accept},
		{"Errors without targets", Errors(Transient), Attempt{Err: io.EOF}, Accept},
		{"Errors, nil target", Errors(Transient, nil), Attempt{Response: response(500)}, Accept},
		{"First, the earlier of two", first, Attempt{Response: response(404)}, Throttled},
		{"First, the second", first, Attempt{Err: errA}, Unprocessed},
		{"First, the third", first, Attempt{Response: response(418)}, Transient},
		{"First, the last", first, Attempt{Response: response(502)}, Transient},
		{"First, nobody", first, Attempt{Response: response(200)}, Accept},
		{"First of none", First(), Attempt{Err: io.EOF}, Accept},
	} {
		if got := c.classify(c.a); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCombinatorsKeepTheirOwnLists(t *testing.T) {
	codes, errs, classifiers := []int{404}, []error{io.EOF}, []Classifier{Statuses(Transient, 404)}
	statuses, errors, first := Statuses(Transient, codes...), Errors(Transient, errs...), First(classifiers...)
	codes[0], errs[0], classifiers[0] = 200, io.ErrClosedPipe, nil
	a, e := Attempt{Response: response(404)}, Attempt{Err: io.EOF}
	if statuses(a) != Transient || errors(e) != Transient || first(a) != Transient {
		t.Error("a later write to the caller's slice changed the classifier")
	}
}

// A status list says nothing about errors, so it must not switch their retry off.
func TestAddingStatusesLeavesErrorsAsTheyWere(t *testing.T) {
	p := Must(Config{Classify: First(Statuses(Transient, 404), DefaultClassifier)})
	if d := p.Next(t.Context(), failed(nil)); !d.Retry {
		t.Errorf("got %+v", d)
	}
}

func TestVerdictNames(t *testing.T) {
	for v, want := range map[Verdict]string{
		Accept: "accept", Transient: "transient", Unprocessed: "unprocessed", Throttled: "throttled",
		7: "Verdict(7)", -1: "Verdict(-1)",
	} {
		if got := v.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
