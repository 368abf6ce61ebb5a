package quota

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A family is the headers that tell of one quota: X-RateLimit-Remaining and those that
// have another word in the place of "Remaining", in any of its places:
// X-RateLimit-Remaining-Tokens, Anthropic-RateLimit-Tokens-Remaining.
type family struct {
	clock
	before, after string
}

func newFamily(c clock, key string) family {
	before, after, _ := strings.Cut(key, "Remaining")
	return family{c, before, after}
}

// values are those of the header with this word.
func (f family) values(word string) []string {
	var buf [64]byte
	key := append(append(append(buf[:0], f.before...), word...), f.after...)
	return f.h[string(key)] // to look something up no string is allocated
}

// limits are the values of the Limit. Zendesk's is X-Rate-Limit, HubSpot's
// X-HubSpot-RateLimit-Max and X-HubSpot-RateLimit-Daily.
func (f family) limits() []string {
	for _, word := range [...]string{"Limit", "Max"} {
		if v := f.values(word); v != nil {
			return v
		}
	}
	f.before = strings.TrimSuffix(f.before, "-")
	return f.values("")
}

func (all *readings) readFamily(f family) {
	s := State{Reset: unsaid}
	s.Name, s.Unit, s.Window = f.label()
	remaining, limits := f.values("Remaining"), f.limits()
	if all.readColumns(f, s, remaining, limits) {
		return
	}
	var ok bool
	if s.Remaining, ok = least(remaining); !ok || unlimited(limits) {
		return
	}
	var window time.Duration
	if s.Limit, window = readLimit(limits, f.values("Policy")); window > 0 {
		s.Window = window
	}
	for _, interval := range [...]struct {
		word string
		unit time.Duration
	}{{"Interval-Seconds", time.Second}, {"Interval-Milliseconds", time.Millisecond}} { // Atlassian, HubSpot
		if v := f.values(interval.word); len(v) > 0 && s.Window == 0 {
			s.Window, _ = parseNumber(v[0], interval.unit)
		}
	}
	for _, r := range [...]struct {
		word string
		scale
	}{{"Reset-After", resetAfter}, {"Reset", reset}, {"Resettime", reset}, {"Next", reset}} {
		if d, ok := f.longestWait(f.values(r.word), r.scale); ok {
			s.Reset = d
			break // the first needs no clock, and the others say the same
		}
	}
	all.add(s)
}

// readColumns reads several quotas that share one family, as lists of equal length in
// one line each: "1, 15000". It reports whether that is what they are. Their names are
// their places, counted from 1.
func (all *readings) readColumns(f family, s State, remaining, limits []string) bool {
	r, t := column(remaining), column(f.values("Reset"))
	legible := func(s string) bool { _, ok := f.parseWait(s, reset); return ok }
	if len(r) < 2 || len(r) != len(t) || !slices.ContainsFunc(t, legible) { // one date has a comma too
		return false
	}
	l, p := column(limits), column(f.values("Policy"))
	name := s.Name
	for i := range r {
		n, ok := parseCount(r[i])
		if !ok || len(l) == len(r) && unlimited(l[i:i+1]) {
			continue
		}
		s := s
		s.Name, s.Remaining, s.Reset = strings.TrimPrefix(name+"/"+strconv.Itoa(i+1), "/"), n, unsaid
		if d, ok := f.parseWait(t[i], reset); ok {
			s.Reset = d
		}
		if len(l) == len(r) {
			s.Limit, s.Window = readLimit(l[i:i+1], nil)
		}
		if len(p) == len(r) {
			if _, w := readLimit(nil, p[i:i+1]); w > 0 {
				s.Window = w
			}
		}
		all.add(s)
	}
	return true
}

// column returns the elements of a header's only line if that is a list, or nil. As many as there can be
// States are enough.
func column(lines []string) (column []string) {
	if len(lines) != 1 || !strings.Contains(lines[0], ",") {
		return nil
	}
	for value := range elements(lines) {
		if column = append(column, value); len(column) > mostStates {
			return nil
		}
	}
	return column
}

// unlimited tells a limit of -1, which is none. Azure OpenAI says so of what it does not
// count, and that as much remains.
func unlimited(limits []string) bool {
	for value := range elements(limits) {
		if negative(value) {
			return true
		}
	}
	return false
}

// readLimit reads a limit and the period that it is for. Earlier drafts of the IETF
// write "10, 10;w=1, 1000;w=3600": the limit that is nearest, then the policies; later
// ones have the policies in a header of their own. Some servers write the period alone.
func readLimit(limits, policies []string) (limit int, window time.Duration) {
	found := false
	var timed []State
	for _, lines := range [...][]string{limits, policies} {
		for member := range elements(lines) {
			it, _ := parseItem(member)
			n, ok := parseCount(it.name)
			if !ok {
				n, ok = parseCount(it.quota)
			}
			w, has := parseNumber(it.window, time.Second)
			switch {
			case !ok:
				if d, ok := parseDuration(it.name); ok {
					window = d
				}
			case has:
				timed = append(timed, State{Limit: n, Window: w})
			case !found || n < limit:
				limit, found = n, true
			}
		}
	}
	for _, p := range timed {
		if !found && (limit == 0 || p.Limit < limit) {
			limit = p.Limit
		}
	}
	for _, p := range timed {
		if p.Limit == limit {
			return limit, p.Window
		}
	}
	return limit, window
}
