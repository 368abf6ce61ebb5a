package pacedhttp_test

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A registry is a context that counts who is registered with it. It lives as long as the
// context it is made of, and package context cannot look through it.
type registry struct {
	context.Context
	done       chan struct{}
	registered atomic.Int64
}

func newRegistry(ctx context.Context) *registry {
	r := &registry{Context: ctx, done: make(chan struct{})}
	context.AfterFunc(ctx, func() { close(r.done) })
	return r
}

func (r *registry) Done() <-chan struct{} { return r.done }

func (r *registry) AfterFunc(f func()) func() bool {
	r.registered.Add(1)
	stop := context.AfterFunc(r.Context, f)
	return func() bool {
		stopped := stop()
		if stopped {
			r.registered.Add(-1)
		}
		return stopped
	}
}

func TestNothingOfACallIsLeftWithItsContextWhenTheResponseIsRead(t *testing.T) {
	dropped := func(*http.Response) {}
	atEnd := func(resp *http.Response) { io.Copy(io.Discard, resp.Body) }
	closed := func(resp *http.Response) { resp.Body.Close() }
	for name, tc := range map[string]struct {
		step step
		then func(*http.Response)
	}{
		"by Close":                 {step{body: "some"}, closed},
		"at the end of the body":   {step{body: "some"}, atEnd},
		"at an error of the body":  {step{stream: io.NopCloser(failingReader{io.ErrUnexpectedEOF})}, atEnd},
		"at once without a body":   {step{answer: func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 204}, nil }}, dropped},
		"by an error":              {step{err: errRefused}, dropped},
		"by a failing response":    {step{status: 503, body: "busy"}, closed},
		"by its own end":           {step{delay: time.Hour}, dropped},
		"by a refusal of the slot": {step{status: 503, body: "busy"}, dropped},
		"by a panic":               {step{answer: func(*http.Request) (*http.Response, error) { panic("below") }}, dropped},
	} {
		for outer, mw := range map[string]pacedhttp.Middleware{"Retry": pacedhttp.Retry(nil), "Retry with a timeout": timed(time.Minute), "Fallback": pacedhttp.Fallback(keep)} {
			t.Run(name+"/"+outer, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := newRegistry(t.Context())
					asks := pacedhttp.PrepareAnyHost(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
						req.Context().Done() // as net/http does
						return nil
					})
					layers := []pacedhttp.Middleware{mw, asks}
					if name == "by a refusal of the slot" {
						layers = append(layers, pacedhttp.Pace(grants(1)))
					}
					if name == "by its own end" && outer != "Retry with a timeout" || name == "by a refusal of the slot" && outer == "Fallback" {
						return // the layer does no such thing
					}
					defer func() {
						recover()
						synctest.Wait()
						if n := ctx.registered.Load(); n != 0 {
							t.Errorf("%d are left", n)
						}
					}()
					resp, err := pacedhttp.New(newScript(tc.step), layers...).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
					if err == nil {
						if n := ctx.registered.Load(); resp.Body != http.NoBody && name != "by a refusal of the slot" && n != 1 {
							t.Errorf("%d are registered while the body is unread, want 1", n)
						}
						tc.then(resp)
					}
				})
			})
		}
	}
}

// A slowRegistry registers nobody before it goes on.
type slowRegistry struct {
	*registry
	asked, goesOn chan bool
}

func (r *slowRegistry) AfterFunc(f func()) func() bool {
	r.asked <- true
	<-r.goesOn
	return r.registry.AfterFunc(f)
}

func TestWhoAsksForTheEndAsTheResponseComesLeavesNothingWithTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := &slowRegistry{newRegistry(t.Context()), make(chan bool), make(chan bool)}
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			go req.Context().Done()
			<-ctx.asked
			return &http.Response{StatusCode: 200}, nil
		}})
		if _, err := pacedhttp.New(base, pacedhttp.Retry(nil)).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx)); err != nil {
			t.Fatal(err)
		}
		close(ctx.goesOn)
		synctest.Wait()
		if n := ctx.registered.Load(); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

func TestWhatIsMadeOfADeliveredResponsesContextEndsWithOneOfAnotherMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		ctx := newRegistry(parent)
		asks := pacedhttp.PrepareAnyHost(func(req *http.Request, _ pacedhttp.AttemptInfo) error {
			req.Context().Done()
			return nil
		})
		resp, err := pacedhttp.New(newScript(step{}), pacedhttp.Retry(nil), asks).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		page, stop := context.WithCancel(resp.Request.Context())
		defer stop()
		cancel()
		synctest.Wait()
		if page.Err() == nil {
			t.Error("lives on")
		}
	})
}

// keep is a fallback that leaves everything as it is.
func keep(_ *http.Request, resp *http.Response, err error) (*http.Response, error) { return resp, err }

func TestContextOfADeliveredResponseLivesAsLongAsTheCallers(t *testing.T) {
	for _, proto := range protocols {
		for name, mw := range map[string]pacedhttp.Middleware{"without a timeout": pacedhttp.Retry(nil), "with one": timed(time.Minute)} {
			for how, over := range map[string]func(*http.Response){
				"closed": func(resp *http.Response) { resp.Body.Close() },
				"read":   func(resp *http.Response) { io.Copy(io.Discard, resp.Body); resp.Body.Close() },
			} {
				t.Run(proto+"/"+name+"/"+how, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page") })
						ctx, cancel := context.WithCancel(t.Context())
						resp, err := pacedhttp.New(base, mw).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
						if err != nil {
							t.Fatal(err)
						}
						over(resp)
						time.Sleep(time.Hour)
						page := resp.Request.Context()
						if info, ok := pacedhttp.AttemptFromContext(page); page.Err() != nil || !ok || info.Number != 1 {
							t.Errorf("the context has ended with %v, its attempt is %+v", page.Err(), info)
						}
						cancel()
						synctest.Wait()
						select {
						case <-page.Done():
						default:
							t.Error("it does not end with the caller's")
						}
						if page.Err() != context.Canceled {
							t.Errorf("it ended with %v", page.Err())
						}
					})
				})
			}
		}
	}
}

// A server may answer in full and read on.
func TestReadResponseDoesNotEndWhatIsStillBeingSent(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"in memory": func() io.Reader { return strings.NewReader("order") },
		"stream":    func() io.Reader { return trackString("order") },
	} {
		t.Run(name, func(t *testing.T) {
			var sent *http.Request
			base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
				sent = req
				req.Context().Done()
				return &http.Response{StatusCode: 202, Body: io.NopCloser(strings.NewReader("fine"))}, nil
			}})
			if status, _, err := send(t, pacedhttp.New(base, timed(time.Hour)), newRequest(t, "PUT", body())); status != 202 || err != nil {
				t.Fatal(status, err)
			}
			if err := sent.Context().Err(); err != nil {
				t.Errorf("%v while the request is being sent", err)
			}
			if b, err := io.ReadAll(sent.Body); string(b) != "order" || err != nil {
				t.Errorf("sent %q, %v", b, err)
			}
			sent.Body.Close()
		})
	}
}

func TestContextOfPagesDoesNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		base := servePiped(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page") })
		for name, mw := range map[string][]pacedhttp.Middleware{
			"all": {pacedhttp.Observe(pacedhttp.Hooks{AttemptDone: func(context.Context, pacedhttp.AttemptResult) { told++ }}),
				pacedhttp.Fallback(keep), timed(time.Minute), pacedhttp.Pace(pacer.Burst(1_000_000, time.Second))},
			"Observe":  {pacedhttp.Observe(pacedhttp.Hooks{})},
			"Fallback": {pacedhttp.Fallback(keep)},
			"Retry":    {pacedhttp.Retry(nil)},
		} {
			rt := pacedhttp.New(base, mw...)
			ctx, deepest := t.Context(), 0
			for page := range 20 {
				resp, err := rt.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				if ctx = resp.Request.Context(); page == 1 {
					deepest = depth(ctx)
				}
			}
			if d := depth(ctx); d > deepest {
				t.Errorf("%s: the context of page 20 is %d deep, of page 2 %d", name, d, deepest)
			}
		}
		if told != 20 {
			t.Errorf("the hook was told of %d attempts, want 20", told)
		}
	})
}

// depth returns how many contexts ctx is made of.
func depth(ctx context.Context) int {
	for n := 1; ; n++ {
		v := reflect.Indirect(reflect.ValueOf(ctx))
		if v.Kind() != reflect.Struct {
			return n
		}
		parent := v.FieldByName("Context")
		if !parent.IsValid() || parent.IsNil() {
			return n
		}
		ctx = parent.Interface().(context.Context)
	}
}

// net/http registers with a context, and says how it ended.
func TestDeadlineOfTheCallerEndsTheBodyAsWithoutThisPackage(t *testing.T) {
	for _, proto := range protocols {
		for name, mw := range map[string][]pacedhttp.Middleware{"bare": nil, "Retry": {pacedhttp.Retry(nil)}, "a timeout": {timed(time.Minute)}, "Fallback": {pacedhttp.Fallback(keep)}} {
			t.Run(proto+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
						w.(http.Flusher).Flush()
						<-r.Context().Done()
					})
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					resp, err := pacedhttp.New(base, mw...).RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadAll(resp.Body); err != context.DeadlineExceeded {
						t.Errorf("the body ended with %v", err)
					}
					resp.Body.Close()
				})
			})
		}
	}
}

func TestAttemptThatIsThrownAwayEndsWithItsResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var causes []error
		base := newScript(step{answer: func(req *http.Request) (*http.Response, error) {
			ctx := req.Context()
			context.AfterFunc(ctx, func() { causes = append(causes, context.Cause(ctx)) })
			return &http.Response{StatusCode: 503, Body: untilEnd{ctx}, Uncompressed: true}, nil
		}}, step{})
		began := time.Now()
		policy := retrypolicy.Must(retrypolicy.Config{Backoff: retrypolicy.Constant(0)})
		if status, _, err := send(t, pacedhttp.New(base, pacedhttp.Retry(policy)), newRequest(t, "GET", nil)); status != 200 {
			t.Error(status, err)
		}
		synctest.Wait()
		if took := time.Since(began); took != 100*time.Millisecond || len(causes) != 1 {
			t.Errorf("took %v, ended %d times", took, len(causes))
		}
	})
}

// untilEnd is a body like that of a compressed response that never begins: neither Read nor
// Close returns before the context ends.
type untilEnd struct{ ctx context.Context }

func (b untilEnd) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }
func (b untilEnd) Close() error             { <-b.ctx.Done(); return nil }
