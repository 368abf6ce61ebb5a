package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// via is this proxy's pseudonym (RFC 9110 §7.6.3).
const via = "egressproxy"

// An upstream answers the requests to one API.
type upstream struct {
	*Upstream
	queue   *queue
	reverse *httputil.ReverseProxy
	leaving func() bool // no connection is to be used again
}

// newUpstream puts a request's way together: through the chain of layers to base.
func (p *Proxy) newUpstream(u *Upstream, q *queue) (*upstream, error) {
	policy, err := retrypolicy.New(retrypolicy.Config{
		MaxAttempts:    u.Retries.Attempts,
		AttemptTimeout: u.Retries.AttemptTimeout,
		MaxElapsed:     u.Retries.MaxElapsed,
		MaxRetryAfter:  u.Retries.MaxRetryAfter,
	})
	if err != nil {
		return nil, err
	}
	above := []pacedhttp.Middleware{p.telemetry.Call, pacedhttp.Log(p.log.With("upstream", u.Name))}
	if f := u.Fallback; f != nil {
		above = append(above, pacedhttp.Fallback(pacedhttp.StaticResponse(f.Status, f.Header, f.Body)))
	}
	below := append(q.layers(), p.telemetry.Attempt)
	c := chains{
		again: pacedhttp.New(p.base, slices.Concat(above, []pacedhttp.Middleware{pacedhttp.Retry(policy)}, below)...),
		once:  pacedhttp.New(p.base, slices.Concat(above, below)...),
	}

	up := &upstream{Upstream: u, queue: q, leaving: p.leaving.Load}
	up.reverse = &httputil.ReverseProxy{
		Rewrite:        up.rewrite,
		Transport:      c,
		ModifyResponse: up.modify,
		ErrorHandler:   up.fail,
		BufferPool:     &p.buffers,
		ErrorLog:       slog.NewLogLogger(p.log.With("upstream", u.Name).Handler(), slog.LevelInfo),
	}
	return up, nil
}

// chains are the layers down to the base.
type chains struct {
	again http.RoundTripper // with retries
	once  http.RoundTripper // for a body that streams: it could not be sent again, and no attempt's timeout shall cut it
}

// RoundTrip implements [http.RoundTripper]. It stops the clock of the request when the answer's
// headers are here.
func (c chains) RoundTrip(r *http.Request) (*http.Response, error) {
	chain := c.again
	if streams(r) {
		chain = c.once
	}
	resp, err := chain.RoundTrip(r)
	if a, ok := r.Context().Value(answerByKey{}).(*answerBy); ok && err == nil {
		a.answered()
	}
	return resp, err
}

// ServeHTTP implements [http.Handler].
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, err := u.context(r)
	if err != nil {
		u.answer(w, newProblem("bad-request", err.Error()))
		return
	}
	if u.Timeout > 0 {
		by, end := newAnswerBy(ctx, u.Timeout)
		defer end()
		ctx = by
	}
	ahead, err := readAhead(ctx, w, r, u.Buffer)
	switch {
	case err == context.DeadlineExceeded:
		u.answer(w, newProblem("slow-body", ""))
		return
	case err == context.Canceled:
		u.fail(w, r.WithContext(ctx), err)
		return
	case err != nil:
		u.answer(w, newProblem("bad-request", "the body ended too soon"))
		return
	}
	if streams(ahead) {
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 knows nothing else
	}
	u.reverse.ServeHTTP(w, ahead)
}

// context returns that of a request, with its tenant and with what it says that it will cost.
func (u *upstream) context(r *http.Request) (context.Context, error) {
	ctx := r.Context()
	if u.Tenants != nil {
		ctx = withTenant(ctx, r.Header.Get(u.Tenants.Header))
	}
	for unit, name := range u.Costs {
		said := r.Header.Values(name)
		if len(said) == 0 || len(said) == 1 && said[0] == "" {
			continue
		}
		cost, err := strconv.Atoi(said[0])
		if err != nil || cost < 0 || len(said) > 1 {
			return nil, fmt.Errorf("%s must be a whole number of %s", name, unit)
		}
		ctx = pacer.WithCost(ctx, unit, cost)
	}
	return ctx, nil
}

// rewrite makes the request that is sent. ReverseProxy has taken out what is between the client
// and this proxy alone (RFC 9110 §7.6.1), and all that says for whom requests were forwarded.
func (u *upstream) rewrite(r *httputil.ProxyRequest) {
	out := r.Out
	out.Host = "" // that of the URL
	out.URL.Scheme, out.URL.Host = u.URL.Scheme, u.URL.Host
	rest := strings.TrimPrefix(r.In.URL.EscapedPath(), strings.TrimSuffix(u.Prefix, "/"))
	out.URL.Path, out.URL.RawPath = join(u.URL.EscapedPath(), rest)
	out.URL.RawQuery = r.In.URL.RawQuery // as it came: nothing here decides by it
	out.Trailer = r.In.Trailer           // not a copy: it is filled when the body ends
	out.Header.Add("Via", strings.TrimPrefix(r.In.Proto, "HTTP/")+" "+via)
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") { // ReverseProxy knows three of them
			delete(out.Header, name)
		}
	}
	if protocol := strings.ToLower(out.Header.Get("Upgrade")); strings.Contains(protocol, "h2c") || strings.Contains(protocol, "http/") {
		out.Header.Del("Upgrade") // over HTTP in HTTP requests would pass uncounted, to any path
		out.Header.Del("Connection")
		out.Header.Del("Http2-Settings")
	}
	if u.Forwarded {
		r.SetXForwarded()
	}
	if u.Tenants != nil && u.Tenants.Strip {
		out.Header.Del(u.Tenants.Header)
	}
	for _, name := range u.Costs {
		out.Header.Del(name)
	}
	if out.GetBody != nil {
		out.Body, _ = out.GetBody() // as what it is, so that head and body go out together
		out.Header.Del("Expect")    // met: all of it is here (RFC 9110 §10.1.1)
	}
}

// modify sees every answer that is not the proxy's own.
func (u *upstream) modify(resp *http.Response) error {
	if u.leaving() && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Header.Set("Connection", "close")
	}
	return nil
}

// fail answers a request that came to nothing.
func (u *upstream) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := failure(err, r.Context())
	if p.Status != http.StatusUnprocessableEntity {
		p.after(err, u.queue.stats(r.Context()).Predicted)
	}
	u.answer(w, p)
}

func (u *upstream) answer(w http.ResponseWriter, p problem) {
	p.Upstream = u.Name
	if u.leaving() {
		w.Header().Set("Connection", "close")
	}
	p.write(w)
}

// buffers are those through which bodies are copied.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferSize]byte)(buf)) }

// join returns the path of both, of which rest is what follows a prefix.
func join(base, rest string) (decoded, escaped string) {
	escaped = strings.TrimSuffix(base, "/")
	if rest != "" || escaped == "" {
		escaped += "/" + strings.TrimPrefix(rest, "/")
	}
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return escaped, ""
	}
	return decoded, escaped
}

// climbs reports whether a path has a segment that leads out of where it is.
func climbs(escaped string) bool {
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return true
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(decoded, `\`, "/"), "/") {
		segment, _, _ = strings.Cut(segment, ";") // servers that know path parameters take them off first
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
