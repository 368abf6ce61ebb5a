package quota

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// A scale says what a bare number in a header is.
type scale struct {
	unit   time.Duration // of a delay
	moment time.Duration // from so many units on it is no delay but a moment
}

var (
	// A delay of 10⁹ s is 31 years, and so is one of 10¹² ms; a Unix time of 10⁹ s was
	// in 2001. What is called a reset is a moment for most servers, so less is enough.
	retryAfter   = scale{time.Second, 1e9}
	milliseconds = scale{time.Millisecond, 1e12}
	reset        = scale{time.Second, 1e8}
	// What is called a delay by its name is none of all that.
	resetAfter = scale{time.Second, math.MaxInt64}
)

// milliMoment is where a moment is in milliseconds since 1970 and no longer in
// seconds: as seconds it is in the year 5138, as milliseconds in 1973. So it goes on with
// the finer ones.
const (
	milliMoment = 1e11
	microMoment = 1e14
	nanoMoment  = 1e17
)

// A clock measures moments: those that h names, when it is now.
type clock struct {
	h   http.Header
	now time.Time
}

// longestWait returns the longest of a header's values. A date has a comma, so a line
// is a list only if it makes no sense as a whole, and what makes none in a list may be the
// first half of a date.
func (c clock) longestWait(lines []string, sc scale) (longest time.Duration, found bool) {
	for _, line := range lines {
		d, ok := c.parseWait(line, sc)
		if !ok && strings.Contains(line, ",") {
			weekday := ""
			for part := range splitUnquoted(line, ',') {
				e, legible := c.parseWait(part, sc)
				if !legible && isWeekday(weekday) {
					e, legible = c.parseWait(weekday+","+part, sc)
				}
				if legible {
					d, ok = max(d, e), true
				}
				weekday = part
			}
		}
		if ok {
			longest, found = max(longest, d), true
		}
	}
	return longest, found
}

func isWeekday(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) >= len("Mon") && len(s) <= len("Wednesday") && strings.Contains("MonTueWedThuFriSatSun", s[:3])
}

// parseWait reads a delay or a moment in any of its forms, and returns how long it is
// until then, zero if it has passed.
func (c clock) parseWait(s string, sc scale) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	if n, ok := parseNumber(s, 1); ok {
		switch {
		case n < sc.moment:
			return parseNumber(s, sc.unit)
		case n == math.MaxInt64:
			return n, true // too large for either
		}
		return c.until(unixMoment(s, n)), true
	}
	if d, ok := parseDuration(s); ok {
		return d, true
	}
	if t, ok := parseDate(s); ok {
		return c.until(t), true
	}
	return 0, false
}

// unixMoment is the moment that s, the number n, is.
func unixMoment(s string, n time.Duration) time.Time {
	unit := time.Second
	switch {
	case n >= nanoMoment:
		unit = time.Nanosecond
	case n >= microMoment:
		unit = time.Microsecond
	case n >= milliMoment:
		unit = time.Millisecond
	}
	if d, _ := parseNumber(s, unit); d < math.MaxInt64 {
		return time.Unix(0, int64(d))
	}
	return time.Unix(int64(n/(time.Second/unit)), 0) // beyond 2262 a fraction does not matter
}

// dateForms are the forms of a date that vendors use beside those of RFC 9110. Where
// there is no zone it is UTC.
var dateForms = [...]string{
	time.RFC3339,
	"2006-01-02T15:04Z07:00",
	time.DateTime,
	"2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05 UTC",
	"Mon, 02 Jan 2006 15:04:05 UTC",     // Go's time.RFC1123
	"Mon, 02 Jan 2006 15:04:05 -0700",   // RFC 5322
	"Mon Jan 02 2006 15:04:05 GMT-0700", // JavaScript's Date.toString, less the zone's name
}

const shortestDate = len("2006-01-02T15:04Z")

func parseDate(s string) (time.Time, bool) {
	if len(s) < shortestDate || !strings.Contains(s, ":") {
		return time.Time{}, false // every form costs time, and a list may be long
	}
	if t, err := http.ParseTime(s); err == nil {
		return t, true
	}
	s, _, _ = strings.Cut(s, " (")
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// until is how long it is until t, zero if that has passed.
func (c clock) until(t time.Time) time.Duration {
	return max(0, t.Sub(c.serverTime()))
}

// fast is by how much a server's clock may be ahead of ours and be believed.
const fast = 5 * time.Minute

// serverTime is the moment the response was made, by the server's clock if it tells,
// because the moments it names are by that clock too. But a Date that is far ahead
// would make every wait vanish, so that one is not believed; one that lags only makes
// waits longer.
func (c clock) serverTime() time.Time {
	earliest, found := c.now, false
	for _, v := range c.h["Date"] {
		if t, err := http.ParseTime(v); err == nil && t.Sub(c.now) <= fast && (!found || t.Before(earliest)) {
			earliest, found = t, true
		}
	}
	return earliest
}

// parseDuration reads "6m0s", "12ms" and the like: numbers with a unit each. It
// saturates.
func parseDuration(s string) (total time.Duration, ok bool) {
	if s == "" {
		return 0, false
	}
	for s != "" {
		i := 0
		for i < len(s) && (s[i] == '.' || '0' <= s[i] && s[i] <= '9') {
			i++
		}
		j := i
		for j < len(s) && s[j] != '.' && (s[j] < '0' || s[j] > '9') {
			j++
		}
		unit, known := units[s[i:j]]
		d, legible := parseNumber(s[:i], unit)
		if !known || !legible {
			return 0, false
		}
		total, s = sum(total, d), s[j:]
	}
	return total, true
}

var units = map[string]time.Duration{
	"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second,
	"ms": time.Millisecond, "us": time.Microsecond, "µs": time.Microsecond, "ns": time.Nanosecond,
}
