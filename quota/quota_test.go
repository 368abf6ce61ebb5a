package quota

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestRead(t *testing.T) {
	const s = time.Second
	inAMinute := noon.Add(time.Minute)
	for _, c := range []struct {
		name   string
		header []string
		want   []State
	}{
		{"nothing", nil, nil},
		{"a limit and a reset", []string{"X-RateLimit-Limit", "60", "X-RateLimit-Reset", "30"}, nil},
		{"a policy", []string{"RateLimit-Policy", `"a";q=10;w=60`}, nil},
		{"an illegible remainder", []string{"X-RateLimit-Remaining", "few", "X-RateLimit-Limit", "60"}, nil},
		{"an empty remainder", []string{"X-RateLimit-Remaining", ""}, nil},
		{"an exponent", []string{"X-RateLimit-Remaining", "1e3"}, nil},
		{"a remainder alone", []string{"X-RateLimit-Remaining", "7"}, []State{{Remaining: 7}}},
		{"a remainder beside what most have", []string{"Date", "x", "Content-Type", "text/plain", "Content-Length", "4", "X-RateLimit-Remaining", "7"}, []State{{Remaining: 7}}},
		{"a remainder beside some of that", []string{"Date", "x", "Content-Length", "4", "X-RateLimit-Remaining", "7"}, []State{{Remaining: 7}}},
		{"a remainder rounded down", []string{"X-RateLimit-Remaining", "7.9"}, []State{{Remaining: 7}}},
		{"overdrawn", []string{"X-RateLimit-Remaining", "-3", "X-RateLimit-Reset", "30"}, []State{{Reset: 30 * s}}},
		{"no limit", []string{"X-RateLimit-Remaining", "-1", "X-RateLimit-Limit", "-1"}, nil},
		{"more than fits", []string{"X-RateLimit-Remaining", strings.Repeat("9", 40), "X-RateLimit-Limit", strings.Repeat("9", 40), "X-RateLimit-Reset", strings.Repeat("9", 40)},
			[]State{{Remaining: math.MaxInt, Limit: math.MaxInt, Reset: math.MaxInt64}}},
		{"a Reset-After beyond all", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset-After", strings.Repeat("9", 40)}, []State{{Remaining: 7, Reset: math.MaxInt64}}},
		{"a reset that has passed", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "784111777"}, []State{{}}},
		{"an illegible limit", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Limit", "many", "X-RateLimit-Reset", "soon"}, []State{{Remaining: 7}}},

		{"a reset in seconds", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "99999999"}, []State{{Remaining: 7, Reset: 99999999 * s}}},
		{"a moment in seconds", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", unix(inAMinute)}, []State{{Remaining: 7, Reset: 60 * s}}},
		{"a moment in milliseconds", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", unix(inAMinute) + "500"}, []State{{Remaining: 7, Reset: 60*s + s/2}}},
		{"a date", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "Mon, 15 Jun 2026 12:01:00 GMT"}, []State{{Remaining: 7, Reset: 60 * s}}},
		{"an RFC 3339 date", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "2026-06-15T12:01:00Z"}, []State{{Remaining: 7, Reset: 60 * s}}},
		{"a duration", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "1d2h3m4.5s"}, []State{{Remaining: 7, Reset: 26*time.Hour + 3*time.Minute + 4*s + s/2}}},
		{"a duration beyond all", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "99999999999h9999999999h"}, []State{{Remaining: 7, Reset: math.MaxInt64}}},
		{"a duration of no known unit", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "3y"}, []State{{Remaining: 7}}},
		{"Reset-After is a delay, however long", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset-After", "1000000000"}, []State{{Remaining: 7, Reset: 1e9 * s}}},
		{"Reset-After before Reset", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "900", "X-RateLimit-Reset-After", "1.5"}, []State{{Remaining: 7, Reset: s + s/2}}},

		{"repeated headers, the strictest of each", []string{
			"X-RateLimit-Remaining", "7", "X-RateLimit-Remaining", "3",
			"X-RateLimit-Limit", "10", "X-RateLimit-Limit", "20",
			"X-RateLimit-Reset", "5", "X-RateLimit-Reset", "50", "X-RateLimit-Reset", "soon",
		}, []State{{Remaining: 3, Limit: 10, Reset: 50 * s}}},
		{"lists of unequal length, the strictest", []string{"X-RateLimit-Remaining", "7, 3", "X-RateLimit-Reset", "5"}, []State{{Remaining: 3, Reset: 5 * s}}},
		{"lists on several lines, the strictest", []string{
			"X-RateLimit-Remaining", "7, 8", "X-RateLimit-Remaining", "1, 9", "X-RateLimit-Reset", "5, 6", "X-RateLimit-Reset", "4, 8",
		}, []State{{Remaining: 1, Reset: 8 * s}}},
		{"columns", []string{"X-RateLimit-Limit", "9, 99", "X-RateLimit-Remaining", "few, 3", "X-RateLimit-Reset", "5, 50"}, []State{{Name: "2", Remaining: 3, Limit: 99, Reset: 50 * s}}},
		{"columns, one without a limit", []string{"X-RateLimit-Limit", "-1, 99", "X-RateLimit-Remaining", "-1, 3", "X-RateLimit-Reset", "0, 50"}, []State{{Name: "2", Remaining: 3, Limit: 99, Reset: 50 * s}}},
		{"a list beside one date", []string{"X-RateLimit-Remaining", "7, 5", "X-RateLimit-Reset", "Mon, 15 Jun 2026 12:01:00 GMT"}, []State{{Remaining: 5, Reset: 60 * s}}},
		{"a period beside what is illegible", []string{"X-RateLimit-Remaining", "7", "X-RateLimit-Limit", `1m, "a`}, []State{{Remaining: 7, Window: 60 * s}}},
		{"two families, the least remainder with its reset", []string{
			"X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "5", "RateLimit-Remaining", "7", "RateLimit-Reset", "50",
		}, []State{{Remaining: 3, Reset: 5 * s}}},
		{"two families, equal remainders, the longest reset", []string{
			"X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "5", "RateLimit-Remaining", "3", "RateLimit-Reset", "50", "X-RateLimit-Limit", "9",
		}, []State{{Remaining: 3, Limit: 9, Reset: 50 * s}}},
		{"two families, equal remainders, the longest reset and the least limit last", []string{
			"RateLimit-Remaining", "3", "RateLimit-Reset", "5", "RateLimit-Limit", "9", "X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "50", "X-RateLimit-Limit", "7",
		}, []State{{Remaining: 3, Limit: 7, Reset: 50 * s}}},
		{"two families, equal remainders, the least limit first", []string{
			"RateLimit-Remaining", "3", "RateLimit-Limit", "7;w=60", "X-RateLimit-Remaining", "3", "X-RateLimit-Limit", "9;w=90",
		}, []State{{Remaining: 3, Limit: 7, Window: 60 * s}}},
		{"two families, equal remainders, the window of the least limit", []string{
			"RateLimit-Remaining", "3", "RateLimit-Limit", "9;w=90", "X-RateLimit-Remaining", "3", "X-RateLimit-Limit", "7;w=60",
		}, []State{{Remaining: 3, Limit: 7, Window: 60 * s}}},
		{"two families, equal remainders, one limit", []string{
			"RateLimit-Remaining", "3", "RateLimit-Limit", "9;w=90", "X-RateLimit-Remaining", "3",
		}, []State{{Remaining: 3, Limit: 9, Window: 90 * s}}},
		{"the same item twice", []string{"RateLimit", `"a";r=5;t=3, "a";r=2;t=9`}, []State{{Name: "a", Remaining: 2, Reset: 9 * s}}},

		{"the same item twice, the strictest first", []string{"RateLimit", `"a";r=2;t=3, "a";r=5;t=9`}, []State{{Name: "a", Remaining: 2, Reset: 3 * s}}},
		{"more columns than can be", []string{"X-RateLimit-Remaining", "1" + strings.Repeat(",2", 64), "X-RateLimit-Reset", "1" + strings.Repeat(",2", 64)}, []State{{Remaining: 1, Reset: 2 * s}}},
		{"a dictionary, repeated", []string{"RateLimit", "limit=9, remaining=5, reset=3", "RateLimit", "limit=8, remaining=2, reset=1"}, []State{{Remaining: 2, Limit: 8, Reset: 3 * s}}},
		{"a quoted name", []string{"RateLimit", `"a\"b\\c,;";r=1`}, []State{{Name: `a"b\c,;`, Remaining: 1}}},
		{"items in their order", []string{"RateLimit", `z;r=1, a;r=2`, "RateLimit", `m;r=3`}, []State{{Name: "z", Remaining: 1}, {Name: "a", Remaining: 2}, {Name: "m", Remaining: 3}}},
		{"partitions are quotas of their own", []string{"RateLimit", `"a";r=1;pk=:eA==:, "a";r=2;pk=:eQ==:`, "RateLimit-Policy", `"a";q=10;pk=:eQ==:, "a";q=20;pk=:eA==:`},
			[]State{{Name: "a;pk=:eA==:", Remaining: 1, Limit: 20}, {Name: "a;pk=:eQ==:", Remaining: 2, Limit: 10}}},
		{"a partition that only the policy tells", []string{"RateLimit", `"a";r=1`, "RateLimit-Policy", `"a";q=10;pk=:eQ==:`}, []State{{Name: "a", Remaining: 1, Limit: 10}}},
		{"text after the name", []string{"RateLimit", `"a"b;r=1`}, nil},
		{"an item without a name", []string{"RateLimit", `;r=1`}, nil},

		{"headers in their order", []string{
			"X-RateLimit-Remaining-Tokens", "1", "X-RateLimit-Remaining-Day", "2", "Anthropic-RateLimit-Output-Tokens-Remaining", "3", "RateLimit", "a;r=4",
		}, []State{{Unit: "output-tokens", Remaining: 3}, {Name: "a", Remaining: 4}, {Name: "day", Remaining: 2, Window: 24 * time.Hour}, {Unit: "tokens", Remaining: 1}}},
		{"the global bucket", []string{"X-RateLimit-Remaining", "1", "X-RateLimit-Bucket", "b", "X-RateLimit-Global", "true"}, []State{{Name: "global", Remaining: 1}}},
		{"the global scope", []string{"X-RateLimit-Remaining", "1", "X-RateLimit-Bucket", "b", "X-RateLimit-Scope", "global"}, []State{{Name: "global", Remaining: 1}}},
		{"a shared scope", []string{"X-RateLimit-Remaining", "1", "X-RateLimit-Bucket", "b", "X-RateLimit-Scope", "shared"}, []State{{Name: "b", Remaining: 1}}},
		{"a name is of its own family", []string{"X-RateLimit-Remaining", "1", "RateLimit-Name", "n"}, []State{{Remaining: 1}}},

		{"used, illegible", []string{"X-Shopify-Shop-Api-Call-Limit", "a lot"}, nil},
		{"used without a limit", []string{"X-Shopify-Shop-Api-Call-Limit", "3"}, nil},
		{"used in fractions is rounded up", []string{"X-Shopify-Shop-Api-Call-Limit", "2.1/40"}, []State{{Remaining: 37, Limit: 40}}},
		{"used more than fits", []string{"X-Shopify-Shop-Api-Call-Limit", strings.Repeat("9", 40) + "/40"}, []State{{Limit: 40}}},
		{"from a cache", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "9", "Age", "1"}, nil},
		{"from a cache that asked", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "9", "Age", "0"}, []State{{Reset: 9 * s}}},
	} {
		if got := Read(header(c.header...), noon); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestDateOfTheServer: a moment is measured on the server's Date only if that is within
// five minutes of ours, or makes the wait longer.
func TestDateOfTheServer(t *testing.T) {
	in := func(d time.Duration) string { return noon.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct{ date, want time.Duration }{
		{0, time.Hour},
		{-time.Minute, 61 * time.Minute},
		{-24 * time.Hour, 25 * time.Hour},
		{time.Minute, 59 * time.Minute},
		{5 * time.Minute, 55 * time.Minute},
		{5*time.Minute + time.Second, time.Hour},
		{24 * time.Hour, time.Hour},
	} {
		for _, h := range []http.Header{
			header("Date", in(c.date), "Retry-After", in(time.Hour)),
			header("Date", in(c.date), "Retry-After", unix(noon.Add(time.Hour))),
			header("Date", in(c.date), "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(noon.Add(time.Hour))),
			header("Date", in(c.date), "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", noon.Add(time.Hour).Format(time.RFC3339)),
		} {
			if d, ok := RetryAfter(h, noon); !ok || d != c.want {
				t.Errorf("%v: %v, %v, want %v", h, d, ok, c.want)
			}
		}
	}
}

func TestReadOfManyQuotasIsBounded(t *testing.T) {
	h := http.Header{}
	var list strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&list, "n%d;r=%d,", i, i)
	}
	h.Set("RateLimit", list.String())
	h.Set("RateLimit-Policy", strings.ReplaceAll(list.String(), "r=", "q="))
	for i := range 1000 {
		h.Set("X-RateLimit-Remaining-M"+strconv.Itoa(i), "1")
	}
	got := Read(h, noon)
	if len(got) != 64 || got[63] != (State{Name: "n63", Remaining: 63, Limit: 63}) {
		t.Errorf("%d States, the last %+v", len(got), got[len(got)-1])
	}
	if n := len(readPolicies(h["Ratelimit-Policy"])); n != 64 {
		t.Errorf("%d policies", n)
	}
	// What is known of already is told all the same.
	h.Add("RateLimit", "n1;r=0")
	if got := Read(h, noon); got[1].Remaining != 0 || len(got) != 64 {
		t.Errorf("%d States, the second %+v", len(got), got[1])
	}
}

// TestLongListsAreReadAtOnce: what makes no sense costs no more than what does. It counts
// allocations, because each form of a date that is tried makes one.
func TestLongListsAreReadAtOnce(t *testing.T) {
	const elements = 1000
	for name, h := range map[string]http.Header{
		"Retry-After": {"Retry-After": {strings.Repeat("a,", elements)}},
		"Reset":       {"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {strings.Repeat("soon,", elements)}},
		"t":           {"Ratelimit": {strings.Repeat("a;r=0;t=soon,", elements)}},
	} {
		if n := testing.AllocsPerRun(1, func() { RetryAfter(h, noon) }); n > elements/10 {
			t.Errorf("%s: %v allocations for %d elements", name, n, elements)
		}
	}
}

func TestReadIsInOneOrder(t *testing.T) {
	h := header("RateLimit", "b;r=1, a;r=2")
	for i := range 20 {
		h.Set("X-RateLimit-Remaining-N"+strconv.Itoa(i), "1")
	}
	want := Read(h, noon)
	if len(want) != 22 || !slices.IsSortedFunc(want[2:], func(a, b State) int { return strings.Compare(a.Name, b.Name) }) {
		t.Fatalf("%+v", want)
	}
	for range 20 {
		if got := Read(h, noon); !slices.Equal(got, want) {
			t.Fatalf("%+v, before it was %+v", got, want)
		}
	}
}

func TestReadChangesNothing(t *testing.T) {
	h := header("RateLimit", `"a";r=0;t=3`, "X-RateLimit-Remaining", "1, 2", "X-RateLimit-Reset", "3, 4", "Retry-After", "5, 6")
	want := h.Clone()
	Read(h, noon)
	RetryAfter(h, noon)
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%v, it was %v", h, want)
	}
}

// silent is an answer that says nothing, as an API behind a proxy gives it.
func silent() http.Header {
	return header("Date", "Mon, 15 Jun 2026 12:00:00 GMT", "Content-Type", "application/json", "Content-Length", "512",
		"Server", "nginx", "Cache-Control", "no-store", "Vary", "Accept-Encoding", "Etag", `"0"`, "X-Request-Id", "0",
		"Strict-Transport-Security", "max-age=31536000", "X-Content-Type-Options", "nosniff")
}

func TestNothingSaidAllocatesNothing(t *testing.T) {
	for name, h := range map[string]http.Header{"nil": nil, "empty": {}, "silent": silent()} {
		if n := testing.AllocsPerRun(100, func() { Read(h, noon) }); n != 0 {
			t.Errorf("Read of a header that is %s allocates %v times", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { RetryAfter(h, noon) }); n != 0 {
			t.Errorf("RetryAfter of a header that is %s allocates %v times", name, n)
		}
	}
	seconds := header("Retry-After", "120", "Retry-After-Ms", "1500")
	if n := testing.AllocsPerRun(100, func() { RetryAfter(seconds, noon) }); n != 0 {
		t.Errorf("RetryAfter of seconds allocates %v times", n)
	}
}

func TestReadAtTheZeroTimeReadsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := header("X-RateLimit-Remaining", "7", "X-RateLimit-Reset", unix(time.Now().Add(time.Minute)))
		want := []State{{Remaining: 7, Reset: time.Minute}}
		if got := Read(h, time.Time{}); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for name, h := range map[string]http.Header{
		"silent": silent(),
		"github": header("X-RateLimit-Limit", "60", "X-RateLimit-Remaining", "56", "X-RateLimit-Reset", "1781524860", "X-RateLimit-Resource", "core"),
		"openai": header("X-RateLimit-Remaining-Requests", "59", "X-RateLimit-Limit-Requests", "60", "X-RateLimit-Reset-Requests", "1s",
			"X-RateLimit-Remaining-Tokens", "149984", "X-RateLimit-Limit-Tokens", "150000", "X-RateLimit-Reset-Tokens", "6m0s"),
		"ietf": header("RateLimit", `"hour";r=413;t=1512`, "RateLimit-Policy", `"hour";q=1000;w=3600`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Read(h, noon)
			}
		})
	}
}

func BenchmarkRetryAfter(b *testing.B) {
	for name, h := range map[string]http.Header{"silent": silent(), "seconds": header("Retry-After", "120")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				RetryAfter(h, noon)
			}
		})
	}
}
