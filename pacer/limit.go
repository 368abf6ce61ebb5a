package pacer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Limit is one thing that an API holds its callers to. There are four kinds:
//
//	{Calls: 20, Period: time.Second}                                   20/s
//	{Calls: 20, Period: time.Second, Even: true}                       20/s even
//	{Calls: 2, Period: time.Second, Bucket: 40}                        2/s bucket 40
//	{Cost: 90_000, Unit: "tokens", Period: time.Minute}                90000 tokens/min
//	{Cost: 50, Unit: "points", Period: time.Second, Bucket: 1_000}     50 points/s bucket 1000
//
// On the right is what [Limit.String] writes and [ParseLimits] reads.
type Limit struct {
	// Either Calls or Cost is at least 1 and the other is 0: at most this many starts,
	// or starts that together cost at most this much.
	Calls int
	Cost  int

	// Unit is what Cost counts, "tokens" or "points", and "" without Cost. It begins
	// with a letter; letters, digits, '_', '-' and '.' may follow.
	Unit string

	// Period is more than 0: the limit holds in any window of this length, wherever
	// it begins.
	Period time.Duration

	// Even spaces starts evenly, Period/Calls apart. It is for Calls without Bucket.
	Even bool

	// Bucket, where it is not 0, makes this a bucket of that size, into which Calls or
	// Cost flow back per Period, instead of a window. It may be smaller than Calls or
	// Cost, and larger.
	Bucket int
}

// String writes the limit as [ParseLimits] reads it: "20/s", "5000/h even",
// "90000 tokens/min", "2/1m30s bucket 40".
func (l Limit) String() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(max(l.Calls, l.Cost)))
	if l.Unit != "" {
		b.WriteString(" " + l.Unit)
	}
	b.WriteString("/" + periodName(l.Period))
	if l.Even {
		b.WriteString(" even")
	}
	if l.Bucket != 0 {
		b.WriteString(" bucket " + strconv.Itoa(l.Bucket))
	}
	return b.String()
}

// ParseLimits reads limits as people write them into configuration:
//
//	20/s, 5000/h even, 90000 tokens/min, 2/s bucket 40
//
// In full, where spaces may stand between any two words and signs:
//
//	list   = limit *( "," limit )
//	limit  = number [ unit ] "/" period [ "even" | "bucket" number ]
//	number = digits, from 1 to the largest int
//	unit   = a letter, then letters, digits, "_", "-" or "."
//	period = "s" | "min" | "h" | "d" | what time.ParseDuration reads: "10s", "1h30m"
//
// A limit without a unit counts starts. The error names every limit that cannot be
// read, or that [New] would not take, and says what is allowed.
func ParseLimits(s string) ([]Limit, error) {
	var limits []Limit
	var errs []error
	for i, text := range strings.Split(s, ",") {
		l, err := parseLimit(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("pacer: limit %d, %q: %w", i+1, strings.TrimSpace(text), err))
			continue
		}
		limits = append(limits, l)
	}
	if n := units(limits); n > maxUnits {
		errs = append(errs, fmt.Errorf("pacer: limits count in %d units, must be at most %d", n, maxUnits))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return limits, nil
}

var periods = []struct {
	name   string
	length time.Duration
}{{"s", time.Second}, {"min", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

func periodName(d time.Duration) string {
	for _, p := range periods {
		if p.length == d {
			return p.name
		}
	}
	return d.String()
}

func parseLimit(text string) (l Limit, err error) {
	amount, rest, found := strings.Cut(text, "/")
	if !found {
		return l, errors.New(`must be number [unit] "/" period ["even" | "bucket" number]`)
	}
	amount = strings.TrimSpace(amount)
	unit := strings.TrimLeft(strings.TrimLeft(amount, "+-"), "0123456789")
	n, err := parseNumber(strings.TrimSuffix(amount, unit))
	if err != nil {
		return l, err
	}
	l.Calls = n
	if unit = strings.TrimSpace(unit); unit != "" {
		l.Calls, l.Cost, l.Unit = 0, n, unit
	}
	words := strings.Fields(rest)
	if len(words) == 0 {
		return l, errors.New(`has no period, must be "s", "min", "h", "d" or a duration such as "1m30s"`)
	}
	if l.Period, err = parsePeriod(words[0]); err != nil {
		return l, err
	}
	switch words := words[1:]; {
	case len(words) == 0:
	case len(words) == 1 && words[0] == "even":
		l.Even = true
	case len(words) == 2 && words[0] == "bucket":
		if l.Bucket, err = parseNumber(words[1]); err != nil {
			return l, err
		}
	default:
		return l, fmt.Errorf(`%q after the period, must be "even", "bucket" number or nothing`, strings.Join(words, " "))
	}
	return l, errors.Join(l.problems("")...)
}

func parseNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("number is %q, must be from 1 to %d", s, math.MaxInt)
	}
	return n, nil
}

func parsePeriod(s string) (time.Duration, error) {
	for _, p := range periods {
		if p.name == s {
			return p.length, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`period is %q, must be "s", "min", "h", "d" or a duration such as "1m30s"`, s)
	}
	return d, nil
}

// problems says what is wrong with l, whose fields are called name and theirs.
func (l Limit) problems(name string) []error {
	var errs []error
	invalid := func(field string, value any, allowed string, args ...any) {
		errs = append(errs, fmt.Errorf("%s%s is %v, must be %s", name, field, value, fmt.Sprintf(allowed, args...)))
	}
	if l.Cost == 0 {
		if l.Calls < 1 {
			invalid("Calls", l.Calls, "from 1 to %d", math.MaxInt)
		}
		if l.Unit != "" {
			invalid("Unit", strconv.Quote(l.Unit), `"" where Cost is 0`)
		}
	} else {
		if l.Cost < 0 {
			invalid("Cost", l.Cost, "from 1 to %d, or 0 where Calls is set", math.MaxInt)
		}
		if l.Calls != 0 {
			invalid("Calls", l.Calls, "0 where Cost is set (%d)", l.Cost)
		}
		if !isUnit(l.Unit) {
			invalid("Unit", strconv.Quote(l.Unit), "what Cost counts: a letter, then letters, digits, '_', '-' or '.'")
		}
		if l.Even {
			invalid("Even", true, "false where Cost is set")
		}
	}
	if l.Period <= 0 {
		invalid("Period", l.Period, "more than 0")
	}
	if l.Bucket < 0 {
		invalid("Bucket", l.Bucket, "0 (a window) or from 1 to %d", math.MaxInt)
	}
	if l.Bucket != 0 && l.Even && l.Cost == 0 {
		invalid("Even", true, "false where Bucket is set (%d)", l.Bucket)
	}
	return errs
}

// isWindow reports whether l is one of the windows that a schedule keeps together.
func (l Limit) isWindow() bool { return l.Cost == 0 && l.Bucket == 0 }

// units returns in how many units limits count, starts left out.
func units(limits []Limit) int {
	seen := make(map[string]bool)
	for _, l := range limits {
		seen[l.Unit] = true
	}
	delete(seen, "")
	return len(seen)
}

func isUnit(s string) bool {
	for i, r := range s {
		letter := unicode.IsLetter(r)
		if !letter && (i == 0 || !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)) {
			return false
		}
	}
	return s != ""
}
