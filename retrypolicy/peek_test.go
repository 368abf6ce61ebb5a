package retrypolicy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

const kib = 1 << 10

// letters returns n bytes of which no two neighbours are alike.
func letters(n int) string {
	return strings.Repeat("abcdefghijklmnopqrstuvwxyz", n/26+1)[:n]
}

// A fakeBody is a body that knows how it was treated.
type fakeBody struct {
	io.Reader
	taken, closes int
}

func newBody(s string) *fakeBody { return &fakeBody{Reader: strings.NewReader(s)} }

func (b *fakeBody) Read(p []byte) (int, error) {
	if b.closes > 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.Reader.Read(p)
	b.taken += n
	return n, err
}

func (b *fakeBody) Close() error {
	b.closes++
	return errBoom // the reader gets it
}

func with(body io.ReadCloser) Attempt {
	return Attempt{Request: request("GET"), Response: &http.Response{StatusCode: 403, Header: http.Header{}, Body: body, ContentLength: 77}}
}

// wantWhole reads the rest of a's response and fails t unless it is want.
func wantWhole(t *testing.T, a Attempt, want string) {
	t.Helper()
	got, err := io.ReadAll(a.Response.Body)
	if err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v, want %d", len(got), err, len(want))
	}
	if n, err := a.Response.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// In a bubble a machine may be as slow as it likes.
func TestPeekShowsTheFirstBytesAndConsumesNone(t *testing.T) {
	synctest.Test(t, testPeek)
}

func testPeek(t *testing.T) {
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"as it comes":        func(r io.Reader) io.Reader { return r },
		"byte by byte":       iotest.OneByteReader,
		"by halves":          iotest.HalfReader,
		"the end with bytes": iotest.DataErrReader,
	} {
		for _, size := range []int{0, 1, 5, 4 * kib, 4*kib + 1, 64 * kib, 64*kib + 1, 100 * kib} {
			for _, n := range []int{-1, 0, 1, 5, 6, 5 * kib, 64 * kib, 64*kib + 1, 1 << 30} {
				text := letters(size)
				body := &fakeBody{Reader: reader(strings.NewReader(text))}
				a := with(body)
				got := a.Peek(n)
				want := text[:max(0, min(n, size, 64*kib))]
				if string(got) != want || n <= 0 && got != nil {
					t.Fatalf("%s: Peek(%d) of %d is %d bytes", name, n, size, len(got))
				}
				if n <= 0 && a.Response.Body != io.ReadCloser(body) {
					t.Errorf("Peek(%d) replaced the body", n)
				}
				if body.taken > len(want) {
					t.Errorf("%s: Peek(%d) of %d read %d bytes", name, n, size, body.taken)
				}
				if a.Response.ContentLength != 77 {
					t.Errorf("ContentLength is %d", a.Response.ContentLength)
				}
				wantWhole(t, a, text)
				if err := a.Response.Body.Close(); err != errBoom || body.closes != 1 {
					t.Errorf("%s: Close: %v, %d times", name, err, body.closes)
				}
			}
		}
	}
}

func TestPeeksThatGrowAndShrinkShowTheSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := letters(10 * kib)
		a := with(&fakeBody{Reader: iotest.HalfReader(strings.NewReader(text))})
		var seen [][]byte
		for _, n := range []int{3, 1, 10, 10, 9000, 5, 20000} {
			got := a.Peek(n)
			if string(got) != text[:min(n, len(text))] {
				t.Fatalf("Peek(%d) is %d other bytes", n, len(got))
			}
			seen = append(seen, got)
			_ = append(got, "what a caller appends does not get into the body"...)
		}
		wantWhole(t, a, text)
		for _, got := range seen { // what was shown stays
			if !strings.HasPrefix(text, string(got)) {
				t.Errorf("%d bytes have changed", len(got))
			}
		}
	})
}

func TestPeekAfterAReadShowsWhatIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := with(newBody("one two three"))
		a.Peek(6)
		io.ReadFull(a.Response.Body, make([]byte, 4))
		if got := a.Peek(6); string(got) != "two th" {
			t.Errorf("got %q", got)
		}
		wantWhole(t, a, "two three")
	})
}

type writableBody struct{ fakeBody }

func (*writableBody) Write(p []byte) (int, error) { return len(p), nil }

func TestPeekIsNilWhereThereIsNothingToSee(t *testing.T) {
	body := newBody("text")
	change := func(f func(*Attempt)) Attempt {
		a := with(body)
		f(&a)
		return a
	}
	for name, a := range map[string]Attempt{
		"an error":              {Err: errBoom},
		"a response beside one": change(func(a *Attempt) { a.Err = errBoom }),
		"under Do":              {},
		"HEAD":                  change(func(a *Attempt) { a.Request = request("HEAD") }),
		"HEAD, sent as such":    change(func(a *Attempt) { a.Request, a.Response.Request = nil, request("HEAD") }),
		"101":                   change(func(a *Attempt) { a.Response.StatusCode = 101 }),
		"a writable body":       change(func(a *Attempt) { a.Response.Body = &writableBody{} }),
		"no body":               change(func(a *Attempt) { a.Response.Body = nil }),
		"http.NoBody":           change(func(a *Attempt) { a.Response.Body = http.NoBody }),
	} {
		var before io.ReadCloser
		if a.Response != nil {
			before = a.Response.Body
		}
		if got := a.Peek(4); got != nil {
			t.Errorf("%s: %q", name, got)
		}
		if a.Response != nil && a.Response.Body != before {
			t.Errorf("%s: the body was replaced", name)
		}
	}
	if body.taken != 0 {
		t.Errorf("%d bytes were read", body.taken)
	}
}

// A slowBody gives each part when its time has come, and then err. Its Close ends a Read.
type slowBody struct {
	began  time.Time
	parts  []slowPart
	err    error
	closed chan struct{}
	closes int
}

type slowPart struct {
	at   time.Duration
	text string
}

// newSlow must be called in the bubble.
func newSlow(err error, parts ...slowPart) *slowBody {
	return &slowBody{began: time.Now(), parts: parts, err: err, closed: make(chan struct{})}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.parts) == 0 {
		return 0, b.err
	}
	select {
	case <-time.After(b.parts[0].at - time.Since(b.began)):
	case <-b.closed:
		return 0, errBodyClosed
	}
	n := copy(p, b.parts[0].text)
	if b.parts[0].text = b.parts[0].text[n:]; b.parts[0].text == "" {
		b.parts = b.parts[1:]
	}
	return n, nil
}

var errBodyClosed = errors.New("read on closed body")

func (b *slowBody) Close() error {
	b.closes++
	close(b.closed)
	return nil
}

const never = 1000 * time.Hour

func TestPeekReturnsWhatHasComeAfterATenthOfASecond(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		parts []slowPart
		want  string
		took  time.Duration
	}{
		"at once":               {[]slowPart{{0, "abcdefgh"}}, "abcdef", 0},
		"the end":               {[]slowPart{{0, "abc"}}, "abc", 0},
		"in time":               {[]slowPart{{0, "abc"}, {99 * ms, "def"}}, "abcdef", 99 * ms},
		"late":                  {[]slowPart{{0, "abc"}, {101 * ms, "def"}}, "abc", 100 * ms},
		"drop by drop":          {[]slowPart{{30 * ms, "a"}, {60 * ms, "b"}, {90 * ms, "c"}, {120 * ms, "defg"}}, "abc", 100 * ms},
		"nothing for an hour":   {[]slowPart{{time.Hour, "abcdefgh"}}, "", 100 * ms},
		"the end after an hour": {[]slowPart{{0, "abc"}, {time.Hour, ""}}, "abc", 100 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whole := ""
				for _, p := range c.parts {
					whole += p.text
				}
				body := newSlow(io.EOF, c.parts...)
				a := with(body)
				if got := a.Peek(6); string(got) != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if took := time.Since(body.began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				wantWhole(t, a, whole)
				a.Response.Body.Close()
				if body.closes != 1 {
					t.Errorf("%d closes", body.closes)
				}
			})
		})
	}
}

func TestAllPeeksOfAResponseShareTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := newSlow(io.EOF, slowPart{0, "abc"}, slowPart{70 * time.Millisecond, "def"}, slowPart{time.Second, "ghi"})
		a := with(body)
		for _, step := range []struct {
			n    int
			want string
			at   time.Duration
		}{
			{3, "abc", 0}, {6, "abcdef", 70 * time.Millisecond}, {9, "abcdef", 100 * time.Millisecond}, {9, "abcdef", 100 * time.Millisecond},
		} {
			if got := a.Peek(step.n); string(got) != step.want || time.Since(body.began) != step.at {
				t.Errorf("Peek(%d): %q after %v, want %q after %v", step.n, got, time.Since(body.began), step.want, step.at)
			}
		}
		time.Sleep(2 * time.Second)
		if got := a.Peek(9); string(got) != "abcdefghi" {
			t.Errorf("what has come since is not shown: %q", got)
		}
		wantWhole(t, a, "abcdefghi")
	})
}

// The Read that is under way cannot be taken back; there is no other.
func TestNothingIsReadAheadOnceAPeekIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := newSlow(io.EOF, slowPart{time.Second, "abc"}, slowPart{time.Second, "def"}, slowPart{time.Second, "ghi"})
		a := with(body)
		a.Peek(9)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(body.parts) != 2 {
			t.Errorf("%d parts are left unread, want 2", len(body.parts))
		}
		wantWhole(t, a, "abcdefghi")
	})
}
