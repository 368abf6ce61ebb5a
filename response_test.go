package pacedhttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

const (
	drainBytes = 64 * kib
	drainTime  = 100 * time.Millisecond
)

func TestThrownAwayResponsesAreClosedOnceAndTheLastIsUnread(t *testing.T) {
	base := newScript(step{status: 503, body: "one"}, step{status: 502, body: "two"}, step{status: 503, body: "three"})
	resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 3}))).RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	bodies := base.responseBodies()
	for _, body := range bodies[:2] {
		body.wantClosedOnce(t)
	}
	last := bodies[2]
	if reads, closes := last.reads.Load(), last.closes.Load(); reads != 0 || closes != 0 {
		t.Errorf("the delivered body was read %d times and closed %d times", reads, closes)
	}
	if got := readAll(t, resp); got != "three" || resp.StatusCode != 503 {
		t.Errorf("got %d %q", resp.StatusCode, got)
	}
	last.wantClosedOnce(t)
}

// A slowBody gives size bytes after every pause, without end. A Close ends the pause.
type slowBody struct {
	size   int
	pause  time.Duration
	given  int
	closed chan struct{}
}

func newSlowBody(size int, pause time.Duration) *slowBody {
	return &slowBody{size: size, pause: pause, closed: make(chan struct{})}
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(b.pause):
		n := min(len(p), b.size)
		b.given += n
		return n, nil
	case <-b.closed:
		return 0, http.ErrBodyReadAfterClose
	}
}

func (b *slowBody) Close() error {
	close(b.closed)
	return nil
}

func TestReleaseIsBoundedInBytesAndTime(t *testing.T) {
	for name, tc := range map[string]struct {
		body  *slowBody
		read  int
		after time.Duration
	}{
		"endless":           {newSlowBody(kib, 0), drainBytes, 0},
		"stalled":           {newSlowBody(kib, time.Hour), 0, drainTime},
		"50 bytes a second": {newSlowBody(50, time.Second), 0, drainTime},
		"a trickle":         {newSlowBody(1, 30*time.Millisecond), 3, drainTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.body.closed = make(chan struct{}) // of this bubble
				base := newScript(step{status: 503, stream: tc.body}, step{})
				began := time.Now()
				resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{}))).RoundTrip(newRequest(t, "GET", nil))
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
				if took := time.Since(began); took != tc.after {
					t.Errorf("the next attempt came after %v, want %v", took, tc.after)
				}
				synctest.Wait()
				if tc.body.given != tc.read {
					t.Errorf("%d bytes were read, want %d", tc.body.given, tc.read)
				}
				base.responseBodies()[0].wantClosedOnce(t)
			})
		})
	}
}

func TestStalledDecompressionDelaysTheRetryAsLittleAsAnyResponse(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sends, done := 0, make(chan struct{})
				base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
					if sends++; sends > 1 {
						return
					}
					w.Header().Set("Content-Encoding", "gzip")
					w.WriteHeader(503)
					w.(http.Flusher).Flush()
					<-done
				})
				defer close(done)
				began := time.Now()
				resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{}))).RoundTrip(newRequest(t, "GET", nil))
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
				readAll(t, resp)
				if took := time.Since(began); took != drainTime {
					t.Errorf("the next attempt came after %v, want %v", took, drainTime)
				}
			})
		})
	}
}

func TestBasesThatBreakTheContract(t *testing.T) {
	lost := errors.New("connection lost")
	for name, layer := range map[string]pacedhttp.Middleware{
		"Retry": pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 2})), "Pace": pacedhttp.Pace(grants(100)), "no layer": nil,
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{answer: func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503}, nil
			}})
			resp, err := pacedhttp.New(base, layer).RoundTrip(newRequest(t, "GET", nil))
			if err != nil || resp.Body == nil {
				t.Errorf("a response without a body: got %v, %v", resp, err)
			}

			var bodies []*trackedBody
			base = newScript(step{answer: func(*http.Request) (*http.Response, error) {
				bodies = append(bodies, trackString("both"))
				return &http.Response{StatusCode: 503, Body: bodies[len(bodies)-1]}, lost
			}})
			if resp, err = pacedhttp.New(base, layer).RoundTrip(newRequest(t, "GET", nil)); resp != nil || !errors.Is(err, lost) {
				t.Errorf("both: got %v, %v", resp, err)
			}
			for _, body := range bodies {
				body.wantClosedOnce(t)
			}

			base = newScript(step{answer: func(*http.Request) (*http.Response, error) { return nil, nil }})
			if resp, err = pacedhttp.New(base, layer).RoundTrip(newRequest(t, "GET", nil)); resp != nil || err == nil {
				t.Errorf("neither: got %v, %v", resp, err)
			}
		})
	}
}

func TestRefusedSlotDeliversTheLastResponseWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		size    int
		unknown bool // Content-Length
		want    bool
	}{
		"empty":                             {0, false, true},
		"empty, length unknown":             {0, true, true},
		"short":                             {5, false, true},
		"short, length unknown":             {5, true, true},
		"at the bound":                      {drainBytes, false, true},
		"at the bound, length unknown":      {drainBytes, true, true},
		"past the bound":                    {drainBytes + 1, false, false},
		"past the bound, length unknown":    {drainBytes + 1, true, false},
		"far past it, and then some to say": {1 << 20, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("x", tc.size)
			answer := step{status: 503, body: text, header: http.Header{"X-Why": {"maintenance"}}}
			if tc.unknown {
				answer.stream = io.NopCloser(strings.NewReader(text))
			}
			base := newScript(step{status: 502, body: "earlier"}, answer)
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(grants(2)))
			resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
			for _, body := range base.responseBodies() {
				body.wantClosedOnce(t)
			}
			if !tc.want {
				failure, ok := errors.AsType[*retrypolicy.Error](err)
				refusal, paced := errors.AsType[*pacedhttp.PaceError](err)
				if resp != nil || !ok || !paced || failure.Attempts != 2 || !errors.Is(refusal, errClosed) {
					t.Errorf("got %v, %v", resp, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			length := int64(tc.size)
			if tc.unknown {
				length = -1
			}
			if resp.StatusCode != 503 || resp.ContentLength != length || resp.Header.Get("X-Why") != "maintenance" {
				t.Errorf("got %+v", resp)
			}
			if got := readAll(t, resp); got != text {
				t.Errorf("got %d bytes, want %d", len(got), tc.size)
			}
		})
	}
}

func TestRestoredResponseIsNotOverwrittenByLaterCalls(t *testing.T) {
	refusedAfter := func(answer step) *http.Response {
		rt := pacedhttp.New(newScript(answer), pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(grants(1)))
		resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := refusedAfter(step{status: 503, body: "maintenance"})
	second := refusedAfter(step{status: 503, body: "too busy!!!"})
	if a, b := readAll(t, first), readAll(t, second); a != "maintenance" || b != "too busy!!!" {
		t.Errorf("got %q and %q", a, b)
	}
}

// A silentReader does not tell its end before it is asked for more.
type silentReader struct{ *strings.Reader }

func (r silentReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.Reader.Read(p)
}

func TestContentLengthTellsThatAResponseAtTheBoundIsWhole(t *testing.T) {
	text := strings.Repeat("x", drainBytes)
	base := newScript(step{answer: func(*http.Request) (*http.Response, error) {
		body := io.NopCloser(silentReader{strings.NewReader(text)})
		return &http.Response{StatusCode: 503, Body: body, ContentLength: drainBytes}, nil
	}})
	rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(grants(1)))
	resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, resp); got != text {
		t.Errorf("got %d bytes, want %d", len(got), len(text))
	}
}

func TestRefusedSlotCannotDeliverABrokenResponse(t *testing.T) {
	for name, stream := range map[string]io.Reader{
		"cut short": io.MultiReader(strings.NewReader("half"), failingReader{io.ErrUnexpectedEOF}),
		"no bytes":  failingReader{io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Body: io.NopCloser(stream)}, nil // ContentLength left at 0
			}})
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(grants(1)))
			resp, err := rt.RoundTrip(newRequest(t, "GET", nil))
			if _, ok := errors.AsType[*pacedhttp.PaceError](err); !ok {
				t.Errorf("got %v, %v, want the refusal", resp, err)
			}
		})
	}
}

func TestCancellationIsAlwaysAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		patience := waiterFunc(func(ctx context.Context) error {
			if first {
				first = false
				return nil
			}
			return untilDone(ctx)
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		rt := pacedhttp.New(newScript(step{status: 503, body: "busy"}), pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(patience))
		resp, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
		if resp != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", resp, err)
		}
	})
}

func TestSwitchedProtocolKeepsItsWriter(t *testing.T) {
	for name, mw := range map[string][]pacedhttp.Middleware{
		"Retry":            {pacedhttp.Retry(nil)},
		"attempt timeout":  {pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{AttemptTimeout: time.Minute}))},
		"timeouts, nested": {pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{AttemptTimeout: time.Minute})), pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{AttemptTimeout: time.Minute}))},
		"every layer":      everyLayer(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := servePiped(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
					conn, buf, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
					line, _ := buf.ReadString('\n')
					io.WriteString(conn, line)
				})
				req := newRequest(t, "GET", nil)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "echo")
				resp, err := pacedhttp.New(base, mw...).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				conn, ok := resp.Body.(io.ReadWriteCloser)
				if !ok {
					t.Fatalf("the body of a 101 is a %T, which is no io.Writer", resp.Body)
				}
				if _, ok := resp.Body.(interface{ CloseWrite() error }); !ok {
					t.Errorf("the body of a 101 is a %T, which has lost net/http's CloseWrite", resp.Body)
				}
				time.Sleep(time.Hour) // much longer than the attempt may take
				io.WriteString(conn, "hello\n")
				if got := readAll(t, resp); got != "hello\n" {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

func TestDecompressedResponseIsRestored(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	io.WriteString(w, "come back later")
	w.Close()
	base, url := serveProto(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(503)
		w.Write(packed.Bytes())
	})
	rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{})), pacedhttp.Pace(grants(1)))
	resp, err := rt.RoundTrip(newRequestTo(t, "GET", url, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, resp); got != "come back later" || !resp.Uncompressed {
		t.Errorf("got %q", got)
	}
}

func TestDiscardingAResponseAllocatesAtMostTwice(t *testing.T) {
	text := strings.Repeat("x", 4*kib)
	body := strings.NewReader(text)
	resp := &http.Response{StatusCode: 503, ContentLength: int64(len(text))}
	closer := io.NopCloser(body)
	allocs := testing.AllocsPerRun(1000, func() {
		body.Reset(text)
		resp.Body = closer
		pacedhttp.Discard(resp)
	})
	if allocs > 2 {
		t.Errorf("%v allocations, want at most 2", allocs)
	}
}
