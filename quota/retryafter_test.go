package quota

import (
	"math"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func TestRetryAfterForms(t *testing.T) {
	const illegible = -1
	inAMinute := noon.Add(time.Minute)
	for _, c := range []struct {
		name   string
		header []string
		want   time.Duration // or illegible
	}{
		{"absent", nil, illegible},
		{"empty", []string{"Retry-After", ""}, illegible},
		{"seconds", []string{"Retry-After", "120"}, 2 * time.Minute},
		{"seconds with blanks", []string{"Retry-After", " 5 "}, 5 * time.Second},
		{"leading zeros", []string{"Retry-After", "0005"}, 5 * time.Second},
		{"zero", []string{"Retry-After", "0"}, 0},
		{"negative", []string{"Retry-After", "-30"}, 0},
		{"a fraction", []string{"Retry-After", "0.65"}, 650 * time.Millisecond},
		{"a fine fraction is rounded up", []string{"Retry-After", "0.0000000001"}, 1},
		{"a day", []string{"Retry-After", "86400"}, 24 * time.Hour},
		{"the longest delay", []string{"Retry-After", "999999999"}, 999999999 * time.Second},
		{"the first moment", []string{"Retry-After", "1000000000"}, 0},
		{"a moment", []string{"Retry-After", unix(inAMinute)}, time.Minute},
		{"a moment with a fraction", []string{"Retry-After", unix(inAMinute) + ".25"}, time.Minute + 250*time.Millisecond},
		{"a moment in milliseconds", []string{"Retry-After", unix(inAMinute) + "250"}, time.Minute + 250*time.Millisecond},
		{"the last moment in nanoseconds", []string{"Retry-After", "9223372036"}, time.Unix(9223372036, 0).Sub(noon)},
		{"a moment beyond that", []string{"Retry-After", "10000000000"}, time.Unix(10000000000, 0).Sub(noon)},
		{"a fraction beyond that", []string{"Retry-After", "9223372036.9"}, time.Unix(9223372037, 0).Sub(noon)},
		{"the last moment in seconds", []string{"Retry-After", "99999999999"}, math.MaxInt64},
		{"the first in milliseconds", []string{"Retry-After", "100000000000"}, 0},
		{"far more than fits", []string{"Retry-After", strings.Repeat("9", 400)}, math.MaxInt64},
		{"word", []string{"Retry-After", "soon"}, illegible},
		{"exponent", []string{"Retry-After", "1e3"}, illegible},
		{"hexadecimal", []string{"Retry-After", "0x10"}, illegible},
		{"sign without number", []string{"Retry-After", "-"}, illegible},
		{"two signs", []string{"Retry-After", "--1"}, illegible},
		{"point without fraction", []string{"Retry-After", "1."}, illegible},
		{"two points", []string{"Retry-After", "1.2.3"}, illegible},
		{"duration", []string{"Retry-After", "5s"}, 5 * time.Second},

		{"IMF-fixdate", []string{"Retry-After", "Mon, 15 Jun 2026 12:01:00 GMT"}, time.Minute},
		{"RFC 850 date", []string{"Retry-After", "Monday, 15-Jun-26 12:01:00 GMT"}, time.Minute},
		{"asctime date", []string{"Retry-After", "Mon Jun 15 12:01:00 2026"}, time.Minute},
		{"past date", []string{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}, 0},
		{"present date", []string{"Retry-After", "Mon, 15 Jun 2026 12:00:00 GMT"}, 0},
		{"distant date", []string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, math.MaxInt64},
		{"date by the server's clock", []string{
			"Date", "Mon, 15 Jun 2026 09:00:00 GMT", "Retry-After", "Mon, 15 Jun 2026 09:00:30 GMT",
		}, 30 * time.Second},
		{"date past by a clock that is far ahead", []string{
			"Date", "Mon, 15 Jun 2026 23:00:00 GMT", "Retry-After", "Mon, 15 Jun 2026 22:59:59 GMT",
		}, 10*time.Hour + 59*time.Minute + 59*time.Second},
		{"date with an illegible Date", []string{"Date", "now", "Retry-After", "Mon, 15 Jun 2026 12:01:00 GMT"}, time.Minute},
		{"seconds do not depend on Date", []string{"Date", "Mon, 15 Jun 2026 09:00:00 GMT", "Retry-After", "9"}, 9 * time.Second},

		{"milliseconds", []string{"Retry-After-Ms", "1500"}, 1500 * time.Millisecond},
		{"milliseconds, lower case name", []string{"retry-after-ms", "7"}, 7 * time.Millisecond},
		{"milliseconds before seconds", []string{"Retry-After", "2", "Retry-After-Ms", "1500"}, 1500 * time.Millisecond},
		{"illegible milliseconds, seconds", []string{"Retry-After", "2", "Retry-After-Ms", "?"}, 2 * time.Second},
		{"negative milliseconds", []string{"Retry-After-Ms", "-1"}, 0},
		{"too many milliseconds", []string{"Retry-After-Ms", strings.Repeat("9", 19)}, math.MaxInt64},
		{"the last moment in milliseconds", []string{"Retry-After", "99999999999999"}, math.MaxInt64},
		{"the first in microseconds", []string{"Retry-After", "100000000000000"}, 0},
		{"a moment in microseconds", []string{"Retry-After", unix(inAMinute) + "250000"}, time.Minute + 250*time.Millisecond},
		{"the last in microseconds", []string{"Retry-After", "99999999999999999"}, math.MaxInt64},
		{"the first in nanoseconds", []string{"Retry-After", "100000000000000000"}, 0},
		{"a moment in nanoseconds", []string{"Retry-After", unix(inAMinute) + "250000000"}, time.Minute + 250*time.Millisecond},

		{"milliseconds that are a moment", []string{"Retry-After-Ms", unix(inAMinute) + "250"}, time.Minute + 250*time.Millisecond},
		{"milliseconds short of a moment", []string{"Retry-After-Ms", "999999999999"}, 999999999999 * time.Millisecond},
		{"milliseconds, Azure", []string{"X-Ms-Retry-After-Ms", "900"}, 900 * time.Millisecond},
		{"milliseconds, AWS", []string{"X-Amz-Retry-After", "500", "Retry-After", "9"}, 500 * time.Millisecond},
		{"milliseconds, the longest", []string{"Retry-After-Ms", "100", "X-Ms-Retry-After-Ms", "300", "X-Amz-Retry-After", "200", "Grpc-Retry-Pushback-Ms", "50"}, 300 * time.Millisecond},
		{"pushback", []string{"Grpc-Retry-Pushback-Ms", "1500"}, 1500 * time.Millisecond},
		{"pushback, at once", []string{"Grpc-Retry-Pushback-Ms", "0"}, 0},
		{"pushback, not again", []string{"Grpc-Retry-Pushback-Ms", "-1"}, math.MaxInt64},
		{"pushback, not again, on a second line", []string{"Grpc-Retry-Pushback-Ms", "5", "Grpc-Retry-Pushback-Ms", "-20", "Retry-After", "3"}, math.MaxInt64},
		{"pushback, minus nothing", []string{"Grpc-Retry-Pushback-Ms", "-0"}, 0},
		{"pushback, illegible", []string{"Grpc-Retry-Pushback-Ms", "-x"}, illegible},

		{"two lines", []string{"Retry-After", "5", "Retry-After", "30", "Retry-After", "7"}, 30 * time.Second},
		{"two lines, one illegible", []string{"Retry-After", "soon", "Retry-After", "30"}, 30 * time.Second},
		{"two lines, a date and seconds", []string{"Retry-After", "5", "Retry-After", "Mon, 15 Jun 2026 12:01:00 GMT"}, time.Minute},
		{"a list", []string{"Retry-After", "5, 30, soon"}, 30 * time.Second},
		{"a list of dates", []string{"Retry-After", "Mon, 15 Jun 2026 12:01:00 GMT, Mon, 15 Jun 2026 12:03:00 GMT"}, 3 * time.Minute},
		{"a list of a date and seconds", []string{"Retry-After", "5, Monday, 15-Jun-26 12:01:00 GMT, 7"}, time.Minute},
		{"a date of RFC 1123 as Go prints it", []string{"Retry-After", "Mon, 15 Jun 2026 12:01:00 UTC"}, time.Minute},
		{"a date of RFC 5322", []string{"Retry-After", "Mon, 15 Jun 2026 14:01:00 +0200"}, time.Minute},
		{"the earliest of two Dates", []string{
			"Date", "Mon, 15 Jun 2026 12:00:50 GMT", "Date", "Mon, 15 Jun 2026 12:00:10 GMT", "Retry-After", "Mon, 15 Jun 2026 12:01:00 GMT",
		}, 50 * time.Second},
		{"a Date that is far ahead, and one that is not", []string{
			"Date", "Mon, 15 Jun 2026 23:00:00 GMT", "Date", "Mon, 15 Jun 2026 12:00:50 GMT", "Retry-After", "Mon, 15 Jun 2026 12:01:00 GMT",
		}, 10 * time.Second},
		{"an RFC 3339 date", []string{"Retry-After", "2026-06-15T14:01:00+02:00"}, time.Minute},
		{"a duration of two units", []string{"Retry-After", "1m30.5s"}, 90*time.Second + 500*time.Millisecond},
		{"a unit without a number", []string{"Retry-After", "s"}, illegible},
		{"a negative duration", []string{"Retry-After", "-5s"}, illegible},
		{"a used-up quota of tokens", []string{"X-RateLimit-Remaining-Tokens", "0", "X-RateLimit-Reset-Tokens", "7m12s"}, 7*time.Minute + 12*time.Second},
		{"a used-up quota beside one that is not", []string{
			"X-RateLimit-Remaining-Tokens", "0", "X-RateLimit-Reset-Tokens", "3s", "X-RateLimit-Remaining-Requests", "5", "X-RateLimit-Reset-Requests", "9h",
		}, 3 * time.Second},

		{"RateLimit-Reset", []string{"RateLimit-Remaining", "0", "RateLimit-Reset", "30"}, 30 * time.Second},
		{"X-RateLimit-Reset", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"}, 30 * time.Second},
		{"X-Rate-Limit-Reset", []string{"X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", "30"}, 30 * time.Second},
		{"quota left", []string{"X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "30"}, illegible},
		{"quota unknown", []string{"X-RateLimit-Reset", "30"}, illegible},
		{"quota illegible", []string{"X-RateLimit-Remaining", "none", "X-RateLimit-Reset", "30"}, illegible},
		{"quota overdrawn", []string{"X-RateLimit-Remaining", "-3", "X-RateLimit-Reset", "30"}, 30 * time.Second},
		{"other name's quota", []string{"RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"}, illegible},
		{"reset missing", []string{"X-RateLimit-Remaining", "0"}, illegible},
		{"reset illegible", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "soon"}, illegible},
		{"reset over", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "0"}, 0},
		{"reset, Unix time", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(inAMinute)}, time.Minute},
		{"reset, past Unix time", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "784111777"}, 0},
		{"reset, Unix time in milliseconds", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(inAMinute) + "250"}, time.Minute + 250*time.Millisecond},
		{"reset, Unix time by the server's clock", []string{
			"Date", "Mon, 15 Jun 2026 12:00:50 GMT", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", unix(inAMinute),
		}, 10 * time.Second},
		{"reset, the longest delay", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "99999999"}, 99999999 * time.Second},
		{"reset, the shortest Unix time", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "100000000"}, 0},
		{"reset, beyond all", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strings.Repeat("9", 40)}, math.MaxInt64},
		{"the longest of two quotas", []string{
			"RateLimit-Remaining", "0", "RateLimit-Reset", "30", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "40",
		}, 40 * time.Second},
		{"the longest of two quotas, first", []string{
			"RateLimit-Remaining", "0", "RateLimit-Reset", "40", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30",
		}, 40 * time.Second},
		{"Retry-After before a quota", []string{
			"Retry-After", "5", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30",
		}, 5 * time.Second},
		{"Retry-After of zero before a quota", []string{
			"Retry-After", "0", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30",
		}, 0},
		{"illegible Retry-After, quota", []string{
			"Retry-After", "soon", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30",
		}, 30 * time.Second},

		{"draft dictionary", []string{"RateLimit", "limit=100, remaining=0, reset=50"}, 50 * time.Second},
		{"draft dictionary, tight", []string{"RateLimit", "reset=50,remaining=0"}, 50 * time.Second},
		{"draft dictionary, on two lines", []string{"RateLimit", "limit=100, remaining=0", "RateLimit", "reset=50"}, 50 * time.Second},
		{"draft dictionary, quota left", []string{"RateLimit", "limit=100, remaining=5, reset=50"}, illegible},
		{"draft list", []string{"RateLimit", `"default";r=0;t=30`}, 30 * time.Second},
		{"draft list, blanks", []string{"RateLimit", `"default" ; r=0 ; t=30`}, 30 * time.Second},
		{"draft list, a moment just over", []string{"RateLimit", "a;r=0;t=2026-06-15T11:59:59.999999999Z"}, 0},
		{"draft list, quota left", []string{"RateLimit", `"default";r=1;t=30`}, illegible},
		{"draft list, no reset", []string{"RateLimit", `"default";r=0`}, illegible},
		{"draft list, the longest of the exhausted", []string{
			"RateLimit", `"burst";r=0;t=3, "hour";r=0;t=1800, "day";r=7;t=80000`,
		}, 30 * time.Minute},
		{"draft list, hostile name", []string{"RateLimit", `"a,b;r=0;t=9\";r=0;t=9";r=1;t=30`}, illegible},
		{"draft list, quote in the name", []string{"RateLimit", `"a\";r=0;t=9, b";r=1;t=30`}, illegible},
		{"draft list, unclosed name", []string{"RateLimit", `"a;r=0;t=9`}, illegible},
	} {
		h := http.Header{}
		for i := 0; i < len(c.header); i += 2 {
			h.Add(c.header[i], c.header[i+1])
		}
		got, ok := RetryAfter(h, noon)
		if c.want == illegible {
			if ok || got != 0 {
				t.Errorf("%s: %v, %v, want 0, false", c.name, got, ok)
			}
		} else if !ok || got != c.want {
			t.Errorf("%s: %v, %v, want %v, true", c.name, got, ok, c.want)
		}
	}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func TestRetryAfterOfANilHeader(t *testing.T) {
	if d, ok := RetryAfter(nil, noon); ok || d != 0 {
		t.Errorf("%v, %v", d, ok)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{
		"", "0", "-1", "120", "1.5", "10000000000", "1e9", "soon", "0x1F", "1782000000", "1782000000123",
		"Mon, 15 Jun 2026 12:01:00 GMT", "Monday, 15-Jun-26 12:01:00 GMT", "Mon Jun 15 12:01:00 2026",
		"limit=10, remaining=0, reset=5", `"p";r=0;t=30, "q\"";r=1`,
	} {
		f.Add(v, "0", "")
		f.Add(v, v, "Mon, 15 Jun 2026 11:59:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, remaining, date string) {
		for _, h := range []http.Header{
			{"Retry-After": {value}, "Date": {date}},
			{"Retry-After-Ms": {value}},
			{"X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {value}, "Date": {date}},
			{"Ratelimit": {value, remaining}},
		} {
			d, ok := RetryAfter(h, noon)
			if d < 0 || !ok && d != 0 {
				t.Errorf("%v: %v, %v", h, d, ok)
			}
		}
		if want, ok := exactSeconds(value); ok {
			if d, ok := RetryAfter(http.Header{"Retry-After": {value}}, noon); !ok || d != want {
				t.Errorf("Retry-After %s: %v, %v, want %v", value, d, ok, want)
			}
		}
	})
}

// exactSeconds reads a delay of digits only, by other means.
func exactSeconds(s string) (time.Duration, bool) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || s[0] == '+' || s[0] == '-' || len(s) > 1000 || n.Cmp(big.NewInt(1e9)) >= 0 {
		return 0, false
	}
	n.Mul(n, big.NewInt(int64(time.Second)))
	return time.Duration(n.Int64()), true
}
