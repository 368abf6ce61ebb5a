package retrypolicy

import (
	"iter"
	"math"
	"net/http"
	"strings"
	"time"
)

// RetryAfter reads from a response's header how long the server wants the client
// to stay away. It reports false if no header says so, or none legibly. The
// duration is never negative: a moment that has passed is zero, and what exceeds a
// time.Duration is the largest one. The headers, in order of precedence:
//
//   - Retry-After-Ms, milliseconds, which some services send beside a rounded
//     Retry-After;
//   - Retry-After (RFC 9110 §10.2.3), seconds or one of the three forms of an
//     HTTP date;
//   - RateLimit-Reset, X-RateLimit-Reset and X-Rate-Limit-Reset, if the Remaining
//     header of the same name is zero, and the RateLimit field of the IETF draft
//     "RateLimit header fields for HTTP", as a dictionary (remaining=0, reset=30)
//     and as a list ("policy";r=0;t=30). The longest counts. Such a value is a delay
//     in seconds below 10⁸, a Unix time in seconds below 10¹¹, and a Unix time in
//     milliseconds from there.
//
// Numbers may have a fraction. A date is taken relative to the response's own Date
// header, if there is one, because the two clocks need not agree; otherwise
// relative to now.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	// The keys below are in canonical form, so that Get does not allocate.
	if d, ok := parseNumber(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return max(0, d), true
	}
	if v := h.Get("Retry-After"); v != "" {
		if d, ok := parseNumber(v, time.Second); ok {
			return max(0, d), true
		}
		if t, err := http.ParseTime(v); err == nil {
			return max(0, t.Sub(serverTime(h, now))), true
		}
	}
	return rateLimitReset(h, now)
}

// serverTime is the moment the response was made, by the server's clock if it
// tells.
func serverTime(h http.Header, now time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return now
}

// rateLimitReset returns the longest delay until an exhausted quota is full again.
func rateLimitReset(h http.Header, now time.Time) (longest time.Duration, found bool) {
	exhausted := func(remaining, reset string) {
		if n, ok := parseNumber(remaining, 1); !ok || n > 0 {
			return
		}
		if d, ok := parseReset(reset, h, now); ok {
			longest, found = max(longest, d), true
		}
	}
	exhausted(h.Get("Ratelimit-Remaining"), h.Get("Ratelimit-Reset"))
	exhausted(h.Get("X-Ratelimit-Remaining"), h.Get("X-Ratelimit-Reset"))
	exhausted(h.Get("X-Rate-Limit-Remaining"), h.Get("X-Rate-Limit-Reset"))

	var dict struct{ remaining, reset string }
	for _, line := range h["Ratelimit"] {
		for member := range splitUnquoted(line, ',') {
			var item struct{ r, t string }
			for param := range splitUnquoted(member, ';') {
				name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				switch name {
				case "remaining":
					dict.remaining = value
				case "reset":
					dict.reset = value
				case "r":
					item.r = value
				case "t":
					item.t = value
				}
			}
			exhausted(item.r, item.t)
		}
	}
	exhausted(dict.remaining, dict.reset)
	return longest, found
}

// parseReset reads when a quota is renewed. Servers send a delay or a Unix time
// under the same name, and only the magnitude tells: a delay of 10⁸ s is over three
// years, and a Unix time of 10¹¹ s is in the year 5138.
func parseReset(s string, h http.Header, now time.Time) (time.Duration, bool) {
	d, ok := parseNumber(s, time.Second)
	switch {
	case !ok:
		return 0, false
	case d < 1e8*time.Second:
		return max(0, d), true
	}
	// As nanoseconds it may have saturated, so it is read again as a plain number.
	n, _ := parseNumber(s, 1)
	unix := time.Unix(int64(n), 0)
	if n >= 1e11 {
		unix = time.UnixMilli(int64(n))
	}
	return max(0, unix.Sub(serverTime(h, now))), true
}

// parseNumber reads a decimal number of units: an optional minus, digits, and an
// optional fraction. It rounds up, so that no one returns too early, and saturates.
func parseNumber(s string, unit time.Duration) (time.Duration, bool) {
	digits, negative := strings.CutPrefix(strings.TrimSpace(s), "-")
	whole, fraction, pointed := strings.Cut(digits, ".")
	if whole == "" || !isDigits(whole) || pointed && (fraction == "" || !isDigits(fraction)) {
		return 0, false
	}
	if negative {
		return 0, true // there is no delay shorter than none
	}
	var n time.Duration
	for _, c := range []byte(whole) {
		digit := time.Duration(c-'0') * unit
		if n > (math.MaxInt64-digit)/10 {
			return math.MaxInt64, true
		}
		n = 10*n + digit
	}
	var rest time.Duration
	scale := unit
	for _, c := range []byte(fraction) {
		scale /= 10
		if scale == 0 && c != '0' {
			rest++
			break
		}
		rest += time.Duration(c-'0') * scale
	}
	if n > math.MaxInt64-rest {
		return math.MaxInt64, true
	}
	return n + rest, true
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// splitUnquoted yields the parts of s between separators, except those inside a
// structured field's quoted string (RFC 9651 §3.3.3).
func splitUnquoted(s string, separator byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		begin, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '"':
				quoted = !quoted
			case s[i] == '\\' && quoted:
				i++ // the escaped character is not the closing quote
			case s[i] == separator && !quoted:
				if !yield(s[begin:i]) {
					return
				}
				begin = i + 1
			}
		}
		yield(s[begin:])
	}
}
