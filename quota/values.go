package quota

import (
	"iter"
	"math"
	"strings"
	"time"
)

// elements yields the values of a header that may be repeated, and those of a list in
// one line, which is the same (RFC 9110 §5.3), without the blanks around them.
func elements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for part := range splitUnquoted(line, ',') {
				if part = strings.TrimSpace(part); part != "" && !yield(part) {
					return
				}
			}
		}
	}
}

// least returns the smallest count among a header's values.
func least(lines []string) (smallest int, found bool) {
	for value := range elements(lines) {
		if n, ok := parseCount(value); ok && (!found || n < smallest) {
			smallest, found = n, true
		}
	}
	return smallest, found
}

// parseCount reads how much of something there is, rounded down. It may be an item with
// parameters: Docker Hub's "76;w=21600".
func parseCount(s string) (int, bool) {
	s, _, _ = strings.Cut(s, ";")
	if _, ok := parseNumber(s, 1); !ok {
		return 0, false
	}
	whole, _, _ := strings.Cut(s, ".")
	n, _ := parseNumber(whole, 1)
	return int(min(n, math.MaxInt)), true
}

// parseNumber reads a decimal number of units: an optional minus, digits, and an
// optional fraction. It rounds up, so that no one returns too early, and saturates.
func parseNumber(s string, unit time.Duration) (time.Duration, bool) {
	digits, minus := strings.CutPrefix(strings.TrimSpace(s), "-")
	whole, fraction, pointed := strings.Cut(digits, ".")
	if whole == "" || !isDigits(whole) || pointed && (fraction == "" || !isDigits(fraction)) {
		return 0, false
	}
	if minus {
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
	return sum(n, rest), true
}

// negative tells a number below zero from one that is zero.
func negative(s string) bool {
	if _, ok := parseNumber(s, 1); !ok {
		return false
	}
	return s[0] == '-' && strings.Trim(s, "-0.") != ""
}

// sum adds what is not negative, and saturates.
func sum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
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
