package pacedhttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

const kib = 1 << 10

// observeEnd notes why a call was given up.
func observeEnd(reason *retrypolicy.Reason) pacedhttp.Middleware {
	return pacedhttp.Observe(pacedhttp.Hooks{
		GaveUp: func(_ context.Context, i pacedhttp.CallInfo) { *reason = i.Reason },
	})
}

func TestEveryAttemptSendsTheWholeBody(t *testing.T) {
	seekable := func(t *testing.T) io.Reader {
		name := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(name, []byte("skip:payload"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(5, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return f
	}
	atOffset5 := func(*testing.T) io.Reader {
		r := strings.NewReader("skip:payload")
		r.Seek(5, io.SeekStart)
		return r
	}
	for name, tc := range map[string]struct {
		body   func(*testing.T) io.Reader
		length int64 // -1: as NewRequest finds it
		buffer int64
	}{
		"GetBody":                                {func(*testing.T) io.Reader { return bytes.NewBufferString("payload") }, -1, 0},
		"GetBody of a reader at offset 5":        {atOffset5, -1, 0},
		"GetBody goes before the buffer":         {func(*testing.T) io.Reader { return strings.NewReader("payload") }, -1, 3},
		"stream":                                 {func(*testing.T) io.Reader { return trackString("payload") }, -1, kib},
		"stream of known length":                 {func(*testing.T) io.Reader { return trackString("payload") }, 7, kib},
		"stream that fills the buffer":           {func(*testing.T) io.Reader { return trackString("payload") }, -1, 7},
		"stream of known length that fills it":   {func(*testing.T) io.Reader { return trackString("payload") }, 7, 7},
		"file at offset 5":                       {seekable, -1, kib},
		"reader at offset 5, its GetBody hidden": {func(t *testing.T) io.Reader { return struct{ io.Reader }{atOffset5(t)} }, -1, kib},
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{status: 503}, step{err: io.ErrUnexpectedEOF}, step{status: 503}, step{})
			req := newRequest(t, "PUT", tc.body(t))
			if tc.length >= 0 {
				req.ContentLength = tc.length
			}
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: tc.buffer})))
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, resp)
			if n := base.calls(); n != 4 {
				t.Fatalf("%d sends, want 4", n)
			}
			for i, r := range base.requests() {
				if r.body != "payload" || r.bodyErr != nil {
					t.Errorf("attempt %d sent %q, %v", i+1, r.body, r.bodyErr)
				}
				if r.ContentLength != req.ContentLength {
					t.Errorf("attempt %d has ContentLength %d, want %d", i+1, r.ContentLength, req.ContentLength)
				}
				if r.GetBody == nil {
					t.Errorf("attempt %d has no GetBody: net/http cannot replay it", i+1)
				}
			}
		})
	}
}

func TestStreamPastTheReplayBufferIsSentOnce(t *testing.T) {
	for name, buffer := range map[string]int64{"no buffer": 0, "one byte short": 6} {
		t.Run(name, func(t *testing.T) {
			var reason retrypolicy.Reason
			body := trackString("payload")
			base := newScript(step{status: 503, body: "busy"})
			rt := pacedhttp.New(base, observeEnd(&reason), pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer})))
			resp, err := rt.RoundTrip(newRequest(t, "PUT", body))
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, resp); resp.StatusCode != 503 || got != "busy" {
				t.Errorf("got %d %q, want the 503 as it came", resp.StatusCode, got)
			}
			if n := base.calls(); n != 1 || reason != retrypolicy.ReasonBodyNotReplayable {
				t.Errorf("%d sends, reason %q", n, reason)
			}
			if got := base.requests()[0].body; got != "payload" {
				t.Errorf("sent %q", got)
			}
			body.wantClosedOnce(t)
		})
	}
}

func TestUntouchedBodyIsSentAgainWithoutABuffer(t *testing.T) {
	body := trackString("payload")
	base := newScript(step{err: errRefused, unread: true}, step{err: errRefused, unread: true}, step{})
	rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})))
	resp, err := rt.RoundTrip(newRequest(t, "POST", body))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if got := base.requests()[2].body; got != "payload" || body.reads.Load() == 0 {
		t.Errorf("the attempt that got through sent %q", got)
	}
	body.wantClosedOnce(t)
}

func TestBodyIsReadOnlyAsItIsSent(t *testing.T) {
	for name, buffer := range map[string]int64{"straight through": 0, "kept": kib} {
		t.Run(name, func(t *testing.T) {
			producer, feed := io.Pipe()
			body := track(producer)
			base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
				defer req.Body.Close()
				if n := body.reads.Load(); n != 0 {
					t.Errorf("the body was read %d times before it was sent", n)
				}
				p := make([]byte, 100)
				for i := range 3 {
					go io.WriteString(feed, "chunk")
					if n, err := req.Body.Read(p); n != 5 || err != nil {
						t.Errorf("read %d, %v", n, err)
					}
					if n := body.reads.Load(); n != int64(i+1) {
						t.Errorf("%d reads of the body for %d of the request", n, i+1)
					}
				}
				return &http.Response{StatusCode: 200}, nil
			}})
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer})))
			if _, err := rt.RoundTrip(newRequest(t, "PUT", body)); err != nil {
				t.Fatal(err)
			}
			body.wantClosedOnce(t)
		})
	}
}

func TestGetBodyFailureIsFinal(t *testing.T) {
	broken := errors.New("disk gone")
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"error":   func() (io.ReadCloser, error) { return nil, broken },
		"nothing": func() (io.ReadCloser, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			body := trackString("payload")
			base := newScript(step{status: 503, body: "busy"})
			req := newRequest(t, "PUT", body)
			calls := 0
			req.GetBody = func() (io.ReadCloser, error) { calls++; return getBody() }
			var why []retrypolicy.Reason
			resp, err := pacedhttp.New(base, reasons(&why), pacedhttp.Retry(quick(retrypolicy.Config{}))).RoundTrip(req)
			if err == nil || resp != nil || isRetryError(err) || !slices.Equal(why, []retrypolicy.Reason{retrypolicy.ReasonBodyNotReplayable}) {
				t.Errorf("got %v, %v for %q", resp, err, why)
			}
			if name == "error" && !errors.Is(err, broken) {
				t.Errorf("%v hides GetBody's own error", err)
			}
			if n := base.calls(); n != 1 || calls != 1 {
				t.Errorf("%d sends and %d calls of GetBody, want 1 each", n, calls)
			}
			body.wantClosedOnce(t)
			base.responseBodies()[0].wantClosedOnce(t)
		})
	}
}

func TestBodyThatDisagreesWithItsLengthIsNeverSentWhole(t *testing.T) {
	const short, long = "pay", "payload and more"
	for name, tc := range map[string]struct {
		first, again string // the body, and what GetBody returns; "" = no GetBody
		sends        int
	}{
		"too long":          {long, "", 1},
		"too short":         {short, "", 1},
		"stale longer copy": {"payload", long, 2},
		"stale short copy":  {"payload", short, 2},
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{status: 503})
			req := newRequest(t, "PUT", trackString(tc.first))
			req.ContentLength = int64(len("payload"))
			if tc.again != "" {
				req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(tc.again)), nil }
			}
			_, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib}))).RoundTrip(req)
			if err == nil || !strings.Contains(err.Error(), "ContentLength of 7") && !strings.Contains(err.Error(), "ContentLength is 7") {
				t.Errorf("got %v, want an error that names the length", err)
			}
			sent := base.requests()
			if len(sent) != tc.sends {
				t.Fatalf("%d sends, want %d", len(sent), tc.sends)
			}
			if last := sent[len(sent)-1]; len(last.body) >= 7 || last.bodyErr == nil {
				t.Errorf("sent %q, %v: as many bytes as a whole body has", last.body, last.bodyErr)
			}
		})
	}
}

func TestFailingBodyIsNotSentAgain(t *testing.T) {
	broken := errors.New("disk gone")
	body := track(io.NopCloser(io.MultiReader(strings.NewReader("pay"), failingReader{broken})))
	base := newScript()
	rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})))
	if _, err := rt.RoundTrip(newRequest(t, "PUT", body)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the body's own error", err)
	}
	if n := base.calls(); n != 1 {
		t.Errorf("%d sends, want 1", n)
	}
	body.wantClosedOnce(t)
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestNoBodyStaysNoBody(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"nil": nil, "NoBody": http.NoBody, "empty string": strings.NewReader(""), "empty buffer": new(bytes.Buffer),
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{status: 503}, step{})
			req := newRequest(t, "PUT", body)
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})))
			if _, err := rt.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			for i, r := range base.requests() {
				if r.Body != req.Body || r.ContentLength != 0 {
					t.Errorf("attempt %d has body %v and ContentLength %d", i+1, r.Body, r.ContentLength)
				}
			}
		})
	}
}

func TestCallersRequestIsNotModified(t *testing.T) {
	req := newRequest(t, "PUT", trackString("payload"))
	req.Header.Set("X-Caller", "1")
	req.Trailer = http.Header{"X-Sum": nil}
	before, headers, trailers, url := *req, req.Header.Clone(), req.Trailer.Clone(), *req.URL

	chain := pacedhttp.New(newScript(step{status: 503}, step{}),
		pacedhttp.Log(discard()),
		pacedhttp.Fallback(pacedhttp.StaticResponse(200, nil, nil)),
		pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib, AttemptTimeout: 1 << 40})),
		pacedhttp.Pace(grants(10)),
		pacedhttp.Prepare(func(r *http.Request, _ pacedhttp.AttemptInfo) error {
			r.Header.Set("Authorization", "fresh")
			r.Header.Del("X-Caller")
			r.Trailer.Set("X-Sum", "1")
			r.URL.Path = "/signed"
			return nil
		}))
	if _, err := chain.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if req.GetBody != nil {
		t.Error("GetBody was set")
	}
	before.GetBody = nil // functions compare only with nil
	if !reflect.DeepEqual(*req, before) || !reflect.DeepEqual(req.Header, headers) ||
		!reflect.DeepEqual(req.Trailer, trailers) || *req.URL != url {
		t.Errorf("the request was %+v and is %+v", before, *req)
	}
}

func TestSignerReadsACopyOfTheBody(t *testing.T) {
	body := trackString("payload")
	base := newScript(step{status: 503}, step{})
	rt := pacedhttp.New(base,
		pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})),
		pacedhttp.Prepare(func(r *http.Request, _ pacedhttp.AttemptInfo) error {
			cp, err := r.GetBody()
			if err != nil {
				return err
			}
			b, err := io.ReadAll(cp) // and, as many do, leaves it open
			r.Header.Set("X-Digest", string(b))
			return err
		}))
	resp, err := rt.RoundTrip(newRequest(t, "PUT", body))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	for i, r := range base.requests() {
		if r.body != "payload" || r.Header.Get("X-Digest") != "payload" {
			t.Errorf("attempt %d sent %q with digest %q", i+1, r.body, r.Header.Get("X-Digest"))
		}
	}
	body.wantClosedOnce(t)
}

func TestRetryBelowRetryReplaysItsBody(t *testing.T) {
	body := trackString("payload")
	base := newScript(step{status: 503}, step{status: 503}, step{status: 503}, step{})
	policy := quick(retrypolicy.Config{MaxAttempts: 2, ReplayBuffer: kib})
	resp, err := pacedhttp.New(base, pacedhttp.Retry(policy), pacedhttp.Retry(policy)).RoundTrip(newRequest(t, "PUT", body))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	readAll(t, resp)
	for i, r := range base.requests() {
		if r.body != "payload" || r.bodyErr != nil {
			t.Errorf("send %d: %q, %v", i+1, r.body, r.bodyErr)
		}
	}
	body.wantClosedOnce(t)
}
