package vendor

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves api in a bubble to a function that posts a body and returns the answer's status.
func serve(t *testing.T, api *API, f func(t *testing.T, post func(path, body string) int)) {
	synctest.Test(t, func(t *testing.T) {
		if api.Refuse == nil {
			api.Refuse = func(w http.ResponseWriter, _ Refusal) { w.WriteHeader(http.StatusTooManyRequests) }
		}
		api.Fail = func(w http.ResponseWriter, _ *Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		if api.Answer == nil {
			api.Answer = func(http.ResponseWriter, *Request) {}
		}
		base, stop := Serve(api)
		defer stop()
		f(t, func(path, body string) int {
			resp, err := (&http.Client{Transport: base}).Post("https://vendor.example"+path, "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		})
	})
}

func TestRequestBeyondALimitIsRefusedAndCountsInNone(t *testing.T) {
	api := &API{
		Limits: []pacer.Limit{{Calls: 3, Period: time.Second}, {Cost: 10, Unit: "bytes", Period: time.Minute}},
		Cost:   func(r *Request) map[string]int { return map[string]int{"bytes": int(r.Size)} },
	}
	serve(t, api, func(t *testing.T, post func(path, body string) int) {
		for i, step := range []struct {
			body string
			want int
		}{
			{"123456", 200}, {"12345", 429}, {"1234", 200}, {"", 200}, {"", 429},
		} {
			if got := post("/", step.body); got != step.want {
				t.Errorf("request %d: %d, want %d", i, got, step.want)
			}
		}
		time.Sleep(time.Second)
		if got := post("/", ""); got != 200 {
			t.Errorf("a second later: %d", got)
		}
	})
	if got, want := api.Tally(), (Tally{Requests: 6, Refused: 2}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRefusalNamesTheLimitThatHoldsForLongest(t *testing.T) {
	hour := pacer.Limit{Calls: 1, Period: time.Hour}
	var said Refusal
	api := &API{
		Limits: []pacer.Limit{{Calls: 1, Period: time.Second}, hour, {Calls: 1, Period: time.Minute}},
		Refuse: func(_ http.ResponseWriter, r Refusal) { said = r },
	}
	serve(t, api, func(t *testing.T, post func(path, body string) int) {
		post("/", "")
		post("/", "")
	})
	if want := (Refusal{hour, time.Hour}); said != want {
		t.Errorf("refused for %+v, want %+v", said, want)
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	api := &API{InFlight: 2, Answer: func(http.ResponseWriter, *Request) { time.Sleep(time.Second) }}
	serve(t, api, func(t *testing.T, post func(path, body string) int) {
		go post("/1", "")
		go post("/2", "")
		time.Sleep(999 * time.Millisecond)
		if got := post("/3", ""); got != 429 {
			t.Errorf("the third at once: %d, want 429", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := post("/3", ""); got != 200 {
			t.Errorf("when the first two are over: %d, want 200", got)
		}
	})
}

func TestFlapFailsARequestOnlyTheFirstTime(t *testing.T) {
	api := &API{Trouble: Trouble{Flaps: 3}}
	serve(t, api, func(t *testing.T, post func(path, body string) int) {
		for round, want := range []string{"503 200 200", "200 200 200", "200 200 200"} {
			var got []string
			for i := range 3 {
				got = append(got, fmt.Sprint(post("/", fmt.Sprint(i))))
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("round %d: %s, want %s", round, s, want)
			}
		}
	})
	if got, want := api.Tally(), (Tally{Requests: 9, Failed: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestOutageBeginsWithTheFirstRequest(t *testing.T) {
	api := &API{Trouble: Trouble{Outage: 5 * time.Second}}
	serve(t, api, func(t *testing.T, post func(path, body string) int) {
		time.Sleep(time.Hour)
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 503}, {5*time.Second - 1, 503}, {1, 200}} {
			time.Sleep(step.after)
			if got := post("/", ""); got != step.want {
				t.Errorf("%v later: %d, want %d", step.after, got, step.want)
			}
		}
	})
}

func TestAnswersTellWhatIsLeft(t *testing.T) {
	var told []int
	api := &API{
		Limits: []pacer.Limit{{Cost: 10, Unit: "tokens", Period: time.Minute}},
		Cost:   func(*Request) map[string]int { return map[string]int{"tokens": 2} },
		Tell:   func(_ http.Header, left []Left) { told = append(told, left[0].Remaining) },
	}
	api.Answer = func(http.ResponseWriter, *Request) { api.Charge("tokens", 3) }
	serve(t, api, func(t *testing.T, post func(path, body string) int) {
		post("/", "")
		post("/", "")
	})
	if fmt.Sprint(told) != "[8 3]" {
		t.Errorf("told %v, want [8 3]", told)
	}
}

func TestOfABodyTheFirstMegabyteIsKept(t *testing.T) {
	var kept, size int
	api := &API{Answer: func(_ http.ResponseWriter, r *Request) { kept, size = len(r.Body), int(r.Size) }}
	serve(t, api, func(t *testing.T, post func(path, body string) int) { post("/", strings.Repeat("x", 3<<20)) })
	if kept != 1<<20 || size != 3<<20 {
		t.Errorf("kept %d bytes of %d, want %d of %d", kept, size, 1<<20, 3<<20)
	}
}

func TestRequestThatIsGivenUpCountsNowhere(t *testing.T) {
	api := &API{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}}
	synctest.Test(t, func(t *testing.T) {
		base, stop := Serve(api)
		defer stop()
		body, end := io.Pipe()
		req, err := http.NewRequest(http.MethodPost, "http://vendor.example/", body)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { end.CloseWithError(io.ErrUnexpectedEOF) })
		if _, err := base.RoundTrip(req); err == nil {
			t.Error("a request whose body breaks off was answered")
		}
	})
	if got := api.Tally(); got != (Tally{}) {
		t.Errorf("counted %+v, want nothing", got)
	}
}
