package pacedhttp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/retrypolicy"
)

// A refusal is how a frameServer turns a request away; the zero one answers 200.
type refusal int

const (
	answer          refusal = iota
	refuseAtOnce            // REFUSED_STREAM in reply to the headers
	refuseWhenWhole         // REFUSED_STREAM in reply to the last of the body
	goAwayAtOnce            // GOAWAY that excludes the stream
	goAwayWhenWhole
)

// A frameServer speaks HTTP/2 by hand, to do what net/http's server will not.
type frameServer struct {
	mu       sync.Mutex
	refusals []refusal // of each request in turn; then all are answered
	requests int
	bodies   []string // of the requests that came in whole
}

// serveFrames returns a transport that reaches s over pipes.
func serveFrames(t *testing.T, s *frameServer) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	base := &http.Transport{
		Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go s.serve(server)
			return client, nil
		},
	}
	t.Cleanup(base.CloseIdleConnections)
	return base
}

// A frameWriter writes without waiting for the peer to read, which a pipe would.
type frameWriter chan []byte

func (w frameWriter) Write(p []byte) (int, error) {
	w <- bytes.Clone(p)
	return len(p), nil
}

func (s *frameServer) serve(conn net.Conn) {
	out := make(frameWriter, 100)
	go func() {
		for p := range out {
			conn.Write(p)
		}
		conn.Close()
	}()
	defer close(out)
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fr := http2.NewFramer(out, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.WriteSettings()
	does := make(map[uint32]refusal)
	bodies := make(map[uint32]string)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		id := f.Header().StreamID
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				fr.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			switch does[id] = s.next(); does[id] {
			case refuseAtOnce:
				fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			case goAwayAtOnce:
				fr.WriteGoAway(id-1, http2.ErrCodeNo, nil)
			}
		case *http2.DataFrame:
			bodies[id] += string(f.Data())
			if n := uint32(len(f.Data())); n > 0 {
				fr.WriteWindowUpdate(0, n)
			}
			if f.StreamEnded() {
				s.finish(fr, id, does[id], bodies[id])
			}
		}
	}
}

func (s *frameServer) next() refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.requests > len(s.refusals) {
		return answer
	}
	return s.refusals[s.requests-1]
}

func (s *frameServer) finish(fr *http2.Framer, id uint32, do refusal, body string) {
	switch do {
	case refuseWhenWhole:
		fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
	case goAwayWhenWhole:
		fr.WriteGoAway(id-1, http2.ErrCodeNo, nil)
	case answer:
		s.mu.Lock()
		s.bodies = append(s.bodies, body)
		s.mu.Unlock()
		var block bytes.Buffer
		hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	}
}

func TestRefusedStreamsLoseNoBody(t *testing.T) {
	text := string(noise(40 * kib))
	hidden := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			out := req.WithContext(req.Context())
			out.GetBody = nil // net/http cannot replay it: only Retry can
			return next.RoundTrip(out)
		})
	}
	for name, refusals := range map[string][]refusal{
		"REFUSED_STREAM":                  {refuseAtOnce},
		"REFUSED_STREAM, twice":           {refuseAtOnce, refuseAtOnce},
		"REFUSED_STREAM after the body":   {refuseWhenWhole},
		"GOAWAY":                          {goAwayAtOnce},
		"GOAWAY after the body":           {goAwayWhenWhole},
		"GOAWAY, then REFUSED_STREAM":     {goAwayWhenWhole, refuseWhenWhole},
		"REFUSED_STREAM, GOAWAY, REFUSED": {refuseAtOnce, goAwayAtOnce, refuseWhenWhole},
	} {
		for kind, tc := range map[string]struct {
			getBody bool
			below   pacedhttp.Middleware
		}{
			"GetBody, replayed by net/http": {true, nil},
			"GetBody, replayed by Retry":    {true, hidden},
			"stream, replayed by net/http":  {false, nil},
			"stream, replayed by Retry":     {false, hidden},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &frameServer{refusals: refusals}
					base := serveFrames(t, s)
					body := track(io.NopCloser(strings.NewReader(text)))
					req := newRequest(t, "POST", body)
					if req.ContentLength = int64(len(text)); tc.getBody {
						req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
					}
					rt := pacedhttp.New(base, pacedhttp.Retry(quick(retrypolicy.Config{ReplayBuffer: 64 * kib})), tc.below)
					resp, err := rt.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					readAll(t, resp)
					if !slices.Equal(s.bodies, []string{text}) || s.requests != len(refusals)+1 {
						t.Errorf("%d requests, %d of them answered", s.requests, len(s.bodies))
					}
					synctest.Wait()
					body.wantOneClose(t)
				})
			})
		}
	}
}

func TestRefusedStreamThatIsNotKeptIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &frameServer{refusals: []refusal{refuseWhenWhole}}
		body := trackString("payload")
		var reason retrypolicy.Reason
		rt := pacedhttp.New(serveFrames(t, s), observeEnd(&reason), pacedhttp.Retry(quick(retrypolicy.Config{})))
		resp, err := rt.RoundTrip(newRequest(t, "POST", body))
		if err == nil || reason != retrypolicy.ReasonBodyNotReplayable || s.requests != 1 {
			t.Errorf("got %v, %v, %q after %d requests", resp, err, reason, s.requests)
		}
		synctest.Wait()
		body.wantOneClose(t)
	})
}
