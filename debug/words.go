package debug

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const maxName = 80 // runes

// printable returns a name that cannot disturb what stands around it: what is no graphic character,
// such as a control or one that turns the direction of writing, becomes U+FFFD, and what is too
// long is cut.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return utf8.RuneError
		}
		return r
	}, short(name, maxName))
}

// short cuts a name to so many runes.
func short(name string, most int) string {
	if utf8.RuneCountInString(name) <= most {
		return name
	}
	return string([]rune(name)[:most-1]) + "…"
}

// grouped writes 1234567 as 1,234,567.
func grouped[N int | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span writes a duration in its two leading units, as one reads it at a glance, rounded up: what is
// to come is not said to be there before it is.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	up := func(unit time.Duration) int64 { return int64((d + unit - 1) / unit) }
	two := func(n, in int64, units string) string {
		if n%in == 0 {
			return fmt.Sprintf("%d%c", n/in, units[0])
		}
		return fmt.Sprintf("%d%c%d%c", n/in, units[0], n%in, units[1])
	}
	switch {
	case d <= 0:
		return "0s"
	case d <= 999*time.Millisecond:
		return fmt.Sprintf("%dms", up(time.Millisecond))
	case d <= 9900*time.Millisecond:
		n := up(100 * time.Millisecond)
		return fmt.Sprintf("%d.%ds", n/10, n%10)
	case d <= time.Hour-time.Second:
		if n := up(time.Second); n < 60 {
			return fmt.Sprintf("%ds", n)
		}
		return two(up(time.Second), 60, "ms")
	case d <= day-time.Minute:
		return two(up(time.Minute), 60, "hm")
	case d <= 365*day:
		return two(up(time.Hour), 24, "dh")
	default:
		return "over a year"
	}
}
