package otelpacedhttp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

func TestURLFullHasNoSecrets(t *testing.T) {
	none := otelpacedhttp.WithRedactedQueryKeys()
	token := otelpacedhttp.WithRedactedQueryKeys("token", "key")
	for _, tt := range []struct {
		opt       otelpacedhttp.Option
		url, want string
	}{
		{nil, "http://h/p", "http://h/p"},
		{nil, "http://h/p?a=1&b=%20#frag", "http://h/p?a=1&b=%20#frag"},
		{nil, "http://u:p@h/", "http://REDACTED:REDACTED@h/"},
		{nil, "http://u@h/", "http://REDACTED:REDACTED@h/"},
		{nil, "http://:p@h/", "http://REDACTED:REDACTED@h/"},
		{nil, "http://h/?sig=s", "http://h/?sig=REDACTED"},
		{nil, "http://h/?a=1&sig=s&b=2", "http://h/?a=1&sig=REDACTED&b=2"},
		{nil, "http://h/?sig=s&sig=t&", "http://h/?sig=REDACTED&sig=REDACTED&"},
		{nil, "http://h/?sig=s=t", "http://h/?sig=REDACTED"},
		{nil, "http://h/?sig", "http://h/?sig"},
		{nil, "http://h/?sig=", "http://h/?sig=REDACTED"},
		{nil, "http://h/?a=1;sig=s;b=2", "http://h/?a=1;sig=REDACTED;b=2"},
		{nil, "http://h/?%73ig=s", "http://h/?%73ig=REDACTED"},
		{nil, "http://h/?%zz=s&sig=s", "http://h/?%zz=s&sig=REDACTED"},
		{nil, "http://h/?SIG=s&signature=s", "http://h/?SIG=s&signature=s"},
		{nil, "http://h/?X-Amz-Signature=s&X-Amz-Credential=s&X-Amz-Security-Token=s&X-Amz-Date=d",
			"http://h/?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Amz-Date=d"},
		{nil, "http://h/?AWSAccessKeyId=s&Signature=s&X-Goog-Signature=s",
			"http://h/?AWSAccessKeyId=REDACTED&Signature=REDACTED&X-Goog-Signature=REDACTED"},
		{token, "http://u:p@h/?token=s&sig=s&key=s", "http://REDACTED:REDACTED@h/?token=REDACTED&sig=s&key=REDACTED"},
		{none, "http://u:p@h/?sig=s", "http://REDACTED:REDACTED@h/?sig=s"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			rec := record(t, tt.opt)
			get(t, rec.Attempt(answering(200)), tt.url)
			if got := value(rec.attempts(t, 1)[0], "url.full").AsString(); got != tt.want {
				t.Errorf("url.full = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOpaqueURLIsRedactedToo(t *testing.T) {
	for _, tt := range []struct{ opaque, query, want string }{
		{"//user:secret@h/a/b", "sig=secret", "http://REDACTED:REDACTED@h/a/b?sig=REDACTED"},
		{"//user:secret@h", "", "http://REDACTED:REDACTED@h"},
		{"//h/p?sig=secret&a=1", "", "http://h/p?sig=REDACTED&a=1"},
		{"//h?sig=secret", "sig=secret", "http://h?sig=REDACTED?sig=REDACTED"},
		{"/p?sig=secret", "", "http:/p?sig=REDACTED"},
		{"user:secret@h/p", "", "http:REDACTED:REDACTED@h/p"},
		{"//h/p?a=1@b", "", "http://h/p?a=1@b"},
	} {
		rec := record(t)
		req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Opaque: tt.opaque, RawQuery: tt.query}, Header: http.Header{}}
		if _, err := rec.Attempt(answering(200)).RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if got := value(rec.attempts(t, 1)[0], "url.full").AsString(); got != tt.want {
			t.Errorf("%s: url.full = %q, want %q", tt.opaque, got, tt.want)
		}
	}
}

// FuzzRedaction looks for a query in which a value of a listed key survives.
func FuzzRedaction(f *testing.F) {
	for _, seed := range []string{"", "a=1", "&", ";;", "sig", "a=b=c&", "%73", "x;y&z"} {
		f.Add(seed, seed)
	}
	const secret = "7f3b9c"
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, secret) {
			t.Skip()
		}
		u := &url.URL{Scheme: "http", Host: "h", RawQuery: before + "&sig=" + secret + "&" + after}
		rec := record(t)
		if _, err := rec.Attempt(answering(200)).RoundTrip(&http.Request{URL: u, Header: http.Header{}}); err != nil {
			t.Fatal(err)
		}
		full := value(rec.attempts(t, 1)[0], "url.full").AsString()
		if strings.Contains(full, secret) || !strings.Contains(full, "&sig=REDACTED&") {
			t.Errorf("%q became %q", u.RawQuery, full)
		}
	})
}
