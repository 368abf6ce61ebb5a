package debug_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pacedhttp/pacedhttp/debug"
)

func TestAcceptDecidesBetweenPageAndJSON(t *testing.T) {
	const page, json, none = "text/html; charset=utf-8", "application/json", ""
	h := debug.Handler()
	for _, test := range []struct {
		accept string // headers, by "|"
		want   string
	}{
		{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", page}, // browsers
		{"*/*", page}, // curl
		{"application/json", json},
		{"application/json, text/plain, */*", page}, // as good as each other
		{"application/json, */*;q=0.1", json},
		{"APPLICATION/JSON", json},
		{"application/*", json},
		{"text/*", page},
		{"text/html;q=0.5, application/json;q=0.6", json},
		{"text/html;q=0.6|application/json;q=0.5", page},
		{"text/html;q=0, */*", json},
		{"text/*;q=0.1, text/html;q=0.9, application/json;q=0.5", page},
		{"text/html;q=0.1, text/*, application/json;q=0.5", json},
		{"text/html;q=0.001, application/json;q=0", page},
		{"text/html; charset=utf-8", page},
		{"application/json;q=2, text/html;q=0.1", page}, // no such q
		{"application/json;q=x, text/html;q=0.1", page},
		{"application/json;q=NaN, text/html;q=0.1", page},
		{"application/json;q=NaN", page},
		{"application/json;q=-1", page},
		{";;;, application/json", json},
		{"text/html;q=0.2;q=0.9, application/json;q=0.5", json}, // a parameter twice
		{"", page},
		{",", page},
		{"illegible", none},
		{"image/png", none},
		{"*/*;q=0", none},
		{"text/html;q=0, application/json;q=0", none},
	} {
		rec := ask(t, h, "GET", "/debug/pacers", strings.Split(test.accept, "|")...)
		got := rec.Header().Get("Content-Type")
		if test.want == none {
			if rec.Code != http.StatusNotAcceptable {
				t.Errorf("%q: status %d, want 406", test.accept, rec.Code)
			}
		} else if rec.Code != http.StatusOK || got != test.want {
			t.Errorf("%q: %d %s, want %s", test.accept, rec.Code, got, test.want)
		}
	}
	if got := ask(t, h, "GET", "/").Header().Get("Content-Type"); got != page {
		t.Errorf("without Accept: %s", got)
	}
	if got := ask(t, h, "GET", "/?format=json", "text/html").Header().Get("Content-Type"); got != json {
		t.Errorf("format=json: %s", got)
	}
}
