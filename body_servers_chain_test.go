package pacedhttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// noise returns n bytes in which every 16 differ from any other 16.
func noise(n int) []byte {
	b := make([]byte, 0, n+16)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%016x", i)
	}
	return b[:n]
}

func TestUploadAnsweredEarlyArrivesWhole(t *testing.T) {
	upload := noise(8 << 20)
	sum := sha256.Sum256(upload)
	for _, proto := range protocols {
		for name, body := range map[string]func() io.Reader{
			"GetBody": func() io.Reader { return bytes.NewReader(upload) },
			"stream":  func() io.Reader { return struct{ io.Reader }{bytes.NewReader(upload)} },
		} {
			t.Run(proto+"/"+name, func(t *testing.T) {
				var sends atomic.Int64
				base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
					if r.ContentLength != int64(len(upload)) {
						t.Errorf("ContentLength is %d", r.ContentLength)
					}
					switch n := sends.Add(1); n {
					case 1, 4: // answered before any of the body is read
						http.Error(w, "busy", http.StatusServiceUnavailable)
					case 2, 3: // in the middle of it
						part := make([]byte, n<<20)
						if n, err := io.ReadFull(r.Body, part); err == nil && !bytes.Equal(part, upload[:n]) {
							t.Error("an attempt did not begin at the start of the body")
						}
						http.Error(w, "busy", http.StatusServiceUnavailable)
					default:
						h := sha256.New()
						if _, err := io.Copy(h, r.Body); err == nil && !bytes.Equal(h.Sum(nil), sum[:]) {
							t.Error("a whole body arrived that is not the caller's")
						} else if err == nil && sends.Load() == 5 {
							http.Error(w, "once more", http.StatusServiceUnavailable)
						}
					}
				})
				rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{MaxAttempts: 20, ReplayBuffer: 8 << 20})))
				source := track(io.NopCloser(body()))
				req := newRequestTo(t, "PUT", url, body())
				if req.GetBody == nil {
					req.Body, req.ContentLength = source, int64(len(upload))
				}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				if resp.StatusCode != 200 || sends.Load() < 6 {
					t.Errorf("got %s after %d sends", resp.Status, sends.Load())
				}
			})
		}
	}
}

func TestEarlyRefusalIsDeliveredWhileTheBodyBlocks(t *testing.T) {
	early := func(t *testing.T, proto string, mw ...pacedhttp.Middleware) time.Duration {
		base := servePiped(t, proto, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(413)
			io.WriteString(w, "too large")
		})
		producer, feed := io.Pipe()
		body := track(producer)
		go feed.Write([]byte("the first bytes"))
		began := time.Now()
		resp, err := pacedhttp.New(base, mw...).RoundTrip(newRequest(t, "PUT", body))
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the answer came after %v", waited)
		}
		if got := readAll(t, resp); got != "too large" || resp.StatusCode != 413 {
			t.Errorf("got %d %q", resp.StatusCode, got)
		}
		closed := time.Since(began)
		feed.Close()
		synctest.Wait()
		body.wantOneClose(t)
		return closed
	}
	for _, proto := range protocols {
		for _, buffer := range []int64{0, kib} {
			t.Run(fmt.Sprint(proto, "/", buffer), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bare := early(t, proto) // HTTP/1 gives the sender 50 ms to finish
					retry := pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer}))
					if took := early(t, proto, retry); took != bare {
						t.Errorf("the answer was read and closed after %v, without this package after %v", took, bare)
					}
				})
			})
		}
	}
}

func TestBodyFlowsWhileItIsProduced(t *testing.T) {
	for _, proto := range protocols {
		for _, buffer := range []int64{0, kib} {
			t.Run(fmt.Sprint(proto, "/", buffer), func(t *testing.T) {
				arrived := make(chan string)
				base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
					p := make([]byte, 100)
					for {
						n, err := r.Body.Read(p)
						if err != nil {
							close(arrived)
							return
						}
						arrived <- string(p[:n])
					}
				})
				producer, feed := io.Pipe()
				go func() {
					defer feed.Close()
					for _, chunk := range []string{"one", "two", "three"} {
						io.WriteString(feed, chunk)
						if got := <-arrived; got != chunk { // before there is another
							t.Errorf("the server got %q, want %q", got, chunk)
						}
					}
				}()
				rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: buffer})))
				resp, err := rt.RoundTrip(newRequestTo(t, "PUT", url, producer))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
			})
		}
	}
}

func TestRedirectKeepsTheBodyAcrossRetries(t *testing.T) {
	for _, proto := range protocols {
		for _, status := range []int{http.StatusTemporaryRedirect, 308} {
			t.Run(fmt.Sprint(proto, "/", status), func(t *testing.T) {
				var got []string
				base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
					b, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					got = append(got, r.URL.Path+" "+string(b))
					switch {
					case len(got)%2 == 1:
						http.Error(w, "busy", http.StatusServiceUnavailable)
					case r.URL.Path == "/old":
						http.Redirect(w, r, "/new", status)
					}
				})
				client := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{}))).Client()
				resp, err := client.Do(newRequestTo(t, "PUT", url+"/old", strings.NewReader("payload")))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				if want := []string{"/old payload", "/old payload", "/new payload", "/new payload"}; resp.StatusCode != 200 || !slices.Equal(got, want) {
					t.Errorf("%s; the server got %q, want %q", resp.Status, got, want)
				}
			})
		}
	}
}

// A redirect of net/http's client needs GetBody, which a stream has not: the http.StatusTemporaryRedirect
// itself is the answer, as without this package.
func TestRedirectOfAStreamIsLeftToTheCaller(t *testing.T) {
	var sends atomic.Int64
	base, url := serveProto(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		sends.Add(1)
		http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
	})
	client := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib}))).Client()
	resp, err := client.Do(newRequestTo(t, "PUT", url, trackString("payload")))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if resp.StatusCode != http.StatusTemporaryRedirect || sends.Load() != 1 {
		t.Errorf("got %s after %d sends", resp.Status, sends.Load())
	}
}

func TestMultipartFormIsSentAgain(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			file := noise(300 * kib)
			var sends atomic.Int64
			base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
				f, header, err := r.FormFile("file")
				if err != nil {
					t.Error(err)
					return
				}
				if b, _ := io.ReadAll(f); !bytes.Equal(b, file) || header.Filename != "noise.bin" || r.FormValue("note") != "hello" {
					t.Errorf("got %d bytes of %s", len(b), header.Filename)
				}
				if sends.Add(1) < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			producer, feed := io.Pipe()
			form := multipart.NewWriter(feed)
			go func() {
				form.WriteField("note", "hello")
				part, _ := form.CreateFormFile("file", "noise.bin")
				part.Write(file)
				form.Close()
				feed.Close()
			}()
			req := newRequestTo(t, "POST", url, producer)
			req.Header.Set("Content-Type", form.FormDataContentType())
			req.Header.Set("Idempotency-Key", "1")
			resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: 1 << 20}))).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, resp)
			if resp.StatusCode != 200 || sends.Load() != 3 {
				t.Errorf("got %s after %d sends", resp.Status, sends.Load())
			}
		})
	}
}

func TestRefusedConnectionCostsAStreamNothing(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			var got string
			base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				got = string(b)
			})
			dead, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			dead.Close()
			tries := 0
			base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if tries++; tries < 3 {
					addr = dead.Addr().String()
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{}))).RoundTrip(newRequestTo(t, "POST", url, trackString("payload")))
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, resp)
			if got != "payload" || tries != 3 {
				t.Errorf("the server got %q after %d dials", got, tries)
			}
		})
	}
}

func TestConnectionLostOnReuseDoesNotLoseTheBody(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"GetBody": func() io.Reader { return strings.NewReader("payload") },
		"stream":  func() io.Reader { return trackString("payload") },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex // a connection may still be served while the next one is
			var got []string
			base, url := serveProto(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				if got = append(got, string(b)); err != nil {
					t.Error(err)
				}
				if len(got) == 2 {
					panic(http.ErrAbortHandler) // the connection breaks
				}
			})
			rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})))
			for range 2 {
				resp, err := rt.RoundTrip(newRequestTo(t, "PUT", url, body()))
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
			}
			mu.Lock()
			defer mu.Unlock()
			if want := []string{"payload", "payload", "payload"}; !slices.Equal(got, want) {
				t.Errorf("the server got %q, want %q", got, want)
			}
		})
	}
}

func TestServerNeverSeesAWholeBodyOfTheWrongLength(t *testing.T) {
	for _, proto := range protocols {
		for _, size := range []int{7, 5000, 1 << 20} {
			for _, off := range []int{-3, 3} {
				var whole atomic.Int64
				name := fmt.Sprintf("%s/%d%+d", proto, size, off)
				t.Run(name, func(t *testing.T) {
					base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
						if _, err := io.Copy(io.Discard, r.Body); err == nil {
							whole.Add(1)
						}
					})
					req := newRequestTo(t, "PUT", url, bytes.NewReader(noise(size+off)))
					req.GetBody, req.ContentLength = nil, int64(size)
					resp, err := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib}))).RoundTrip(req)
					if err == nil || resp != nil || isRetryError(err) {
						t.Errorf("got %v, %v, want the error of one attempt", resp, err)
					}
				}) // and when the server is closed, its handlers have ended
				if whole.Load() > 0 {
					t.Errorf("%s: the server took the body for whole", name)
				}
			}
		}
	}
}

func TestEmptyBodyIsFramedAsWithoutThisPackage(t *testing.T) {
	for _, proto := range protocols {
		for name, body := range map[string]func() io.Reader{
			"nil":          func() io.Reader { return nil },
			"NoBody":       func() io.Reader { return http.NoBody },
			"empty buffer": func() io.Reader { return new(bytes.Buffer) },
			"empty stream": func() io.Reader { return trackString("") },
		} {
			for _, method := range []string{"PUT", "DELETE"} { // net/http probes the body of the latter
				t.Run(fmt.Sprint(proto, "/", name, "/", method), func(t *testing.T) {
					var framing []string
					base, url := serveProto(t, proto, func(w http.ResponseWriter, r *http.Request) {
						b, err := io.ReadAll(r.Body)
						framing = append(framing, fmt.Sprint(r.Header["Content-Length"], r.TransferEncoding, b, err))
						if len(framing) == 2 {
							w.WriteHeader(http.StatusServiceUnavailable)
						}
					})
					for _, rt := range []http.RoundTripper{base, pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: kib})))} {
						resp, err := rt.RoundTrip(newRequestTo(t, method, url, body()))
						if err != nil {
							t.Fatal(err)
						}
						readAll(t, resp)
					}
					if len(framing) != 3 || framing[1] != framing[0] || framing[2] != framing[0] {
						t.Errorf("length, encoding, body and error: %q, want three of the first", framing)
					}
				})
			}
		}
	}
}
