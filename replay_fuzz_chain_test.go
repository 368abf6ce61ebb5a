package pacedhttp_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A tape is random choices, zero when they are used up.
type tape []byte

func (t *tape) next(n int) int {
	if len(*t) == 0 {
		return 0
	}
	c := int((*t)[0])
	*t = (*t)[1:]
	return c % n
}

// An erraticBody gives its text in pieces of any size, some after a while, and at
// times nothing or the end together with the last bytes. It panics when it is read
// twice at a time.
type erraticBody struct {
	text    string
	choices tape
	busy    atomic.Bool
}

func (b *erraticBody) Read(p []byte) (int, error) {
	if b.busy.Swap(true) {
		panic("two reads at a time")
	}
	defer b.busy.Store(false)
	if b.choices.next(3) == 1 {
		time.Sleep(time.Duration(b.choices.next(50)) * time.Second)
	}
	if b.text == "" {
		return 0, io.EOF
	}
	n := min(b.choices.next(20), len(p), len(b.text))
	if b.choices.next(4) == 0 {
		n = min(len(p), len(b.text))
	}
	copy(p, b.text[:n])
	if b.text = b.text[n:]; b.text == "" && b.choices.next(2) == 1 {
		return n, io.EOF
	}
	return n, nil
}

func (b *erraticBody) Close() error { return nil }

// A reading is what one attempt, or a copy that it took, has seen of the body.
type reading struct {
	mu   sync.Mutex
	seen strings.Builder
	end  error
}

// read reads up to most times; a negative most means to the end.
func (r *reading) read(body io.Reader, most, size int) {
	p := make([]byte, size)
	for ; most != 0; most-- {
		n, err := body.Read(p)
		r.mu.Lock()
		r.seen.Write(p[:n])
		if r.end = err; err != nil {
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
	}
}

// FuzzReplay lets attempts read, abandon, close and go on reading a body in every
// order. Whatever they do, each sees a prefix of the body, one that reaches the end
// has seen all of it, and a body that fits the buffer reaches the last attempt.
func FuzzReplay(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	random := rand.NewChaCha8([32]byte{1})
	for i := range 300 {
		program := make([]byte, 200)
		random.Read(program)
		f.Add(program, uint8(i))
	}
	f.Fuzz(func(t *testing.T, program []byte, room uint8) {
		synctest.Test(t, func(t *testing.T) {
			choices := tape(program)
			text := string(noise(choices.next(200)))
			buffer := int64(room)
			source := track(&erraticBody{text: text, choices: append(tape(nil), program[len(program)/2:]...)})
			var readings []*reading
			var background sync.WaitGroup

			attempts := 1 + choices.next(5)
			misbehave := func(req *http.Request) (*http.Response, error) {
				r := new(reading)
				readings = append(readings, r)
				body := io.Reader(req.Body)
				if buffer > 0 && choices.next(4) == 0 {
					if cp, err := req.GetBody(); err == nil {
						other := new(reading)
						readings = append(readings, other)
						reads := choices.next(4)
						other.read(cp, reads, 1+choices.next(30))
						if reads > 0 { // one that was never read needs no Close
							cp.Close()
						}
					}
				}
				size := 1 + choices.next(60)
				r.read(body, choices.next(4), size)
				switch choices.next(4) {
				case 0:
					req.Body.Close()
				case 1:
					background.Go(func() { r.read(body, -1, size); req.Body.Close() })
				case 2:
					background.Go(func() { r.read(body, -1, size); req.Body.Close() })
					time.Sleep(time.Duration(choices.next(60)) * time.Second)
				case 3:
					background.Go(func() { r.read(body, -1, size); req.Body.Close() })
					synctest.Wait()
					background.Go(func() { req.Body.Close() })
				}
				return &http.Response{StatusCode: 503}, nil
			}
			whole := func(req *http.Request) (*http.Response, error) {
				r := new(reading)
				readings = append(readings, r)
				r.read(req.Body, -1, 1+choices.next(60))
				req.Body.Close()
				if r.end != io.EOF {
					return nil, r.end
				}
				return &http.Response{StatusCode: 200}, nil
			}
			var steps []step
			for range attempts {
				steps = append(steps, step{answer: misbehave})
			}
			base := newScript(append(steps, step{answer: whole})...)

			var reason retrypolicy.Reason
			rt := pacedhttp.New(base, observeEnd(&reason), pacedhttp.Retry(retrypolicy.Must(retrypolicy.Config{
				MaxAttempts:  attempts + 1,
				Backoff:      retrypolicy.Constant(time.Duration(choices.next(3)) * 10 * time.Second),
				ReplayBuffer: buffer,
			})))
			req := newRequest(t, "PUT", source)
			if choices.next(2) == 1 && text != "" {
				req.ContentLength = int64(len(text))
			}
			resp, err := rt.RoundTrip(req)
			background.Wait()
			time.Sleep(time.Hour) // for reads of the body that nobody waits for

			for i, r := range readings {
				seen := r.seen.String()
				if !strings.HasPrefix(text, seen) {
					t.Errorf("reading %d saw %q, which is no prefix of %q", i, seen, text)
				}
				if errors.Is(r.end, io.EOF) && seen != text {
					t.Errorf("reading %d ended after %q of %q", i, seen, text)
				}
			}
			switch {
			case err != nil:
				t.Errorf("the call failed: %v", err)
			case resp.StatusCode == 200 && base.calls() != attempts+1:
				t.Errorf("a success after %d of %d sends", base.calls(), attempts+1)
			case resp.StatusCode == 503 && (reason != retrypolicy.ReasonBodyNotReplayable || buffer > int64(len(text))):
				t.Errorf("gave up for %q, %d bytes and a buffer of %d", reason, len(text), buffer)
			}
			if n := source.late.Load(); n > 0 {
				t.Errorf("%d reads after Close", n)
			}
			if n := source.closes.Load(); n != 1 {
				t.Errorf("closed %d times, want once", n)
			}
		})
	})
}
