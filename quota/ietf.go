package quota

import (
	"strings"
	"time"
)

// An item is a member of RateLimit or RateLimit-Policy: a name with parameters.
type item struct {
	name                 string
	pk                   string // partition key
	remaining, reset     string // RateLimit: r, t
	quota, window, units string // RateLimit-Policy: q, w, qu
}

// label is the item's name among those of one server. The same policy holds for each
// partition by itself, so a partition is a quota of its own.
func (i item) label() string {
	if i.pk == "" {
		return i.name
	}
	return i.name + ";pk=" + i.pk
}

// readIETF reads the draft "RateLimit header fields for HTTP": since its version 8 a
// list of items, in version 7 a dictionary. Its policies say what the numbers are of.
func (all *readings) readIETF(c clock) {
	policies := readPolicies(c.h["Ratelimit-Policy"])
	var dict struct{ limit, remaining, reset []string }
	for member := range elements(c.h[rateLimit]) {
		key, value, _ := strings.Cut(member, "=")
		switch key {
		case "limit":
			dict.limit = append(dict.limit, value)
			continue
		case "remaining":
			dict.remaining = append(dict.remaining, value)
			continue
		case "reset":
			dict.reset = append(dict.reset, value)
			continue
		}
		it, ok := parseItem(member)
		if !ok {
			continue
		}
		s := State{Name: it.label(), Reset: unsaid}
		if s.Remaining, ok = parseCount(it.remaining); !ok {
			continue
		}
		if d, ok := c.parseWait(it.reset, reset); ok {
			s.Reset = d
		}
		if p, ok := policyOf(policies, it); ok {
			s.Limit, _ = parseCount(p.quota)
			s.Window, _ = parseNumber(p.window, time.Second)
			s.Unit = unitOf(p.units)
		}
		all.add(s)
	}
	if remaining, ok := least(dict.remaining); ok {
		s := State{Remaining: remaining, Reset: unsaid}
		if d, ok := c.longestWait(dict.reset, reset); ok {
			s.Reset = d
		}
		s.Limit, s.Window = readLimit(dict.limit, c.h["Ratelimit-Policy"])
		all.add(s)
	}
}

// readPolicies returns the first policies of a list, no more than there can be States.
func readPolicies(lines []string) (policies []item) {
	for member := range elements(lines) {
		if it, ok := parseItem(member); ok && len(policies) < mostStates {
			policies = append(policies, it)
		}
	}
	return policies
}

// policyOf finds an item's policy: the one of its partition, or else the first of its
// name, because servers leave out the partition where it is plain.
func policyOf(policies []item, it item) (found item, ok bool) {
	for _, p := range policies {
		if p.name == it.name && (p.pk == it.pk || !ok) {
			found, ok = p, true
			if p.pk == it.pk {
				break
			}
		}
	}
	return found, ok
}

// unitOf is the Unit of a quota unit, which is requests by default.
func unitOf(qu string) string {
	unit, ok := unquote(qu)
	if !ok || unit == "requests" || unit == "request" {
		return ""
	}
	return unit
}

// parseItem reads a structured field's item (RFC 9651 §3.3): the name as a string, a
// token, or a number.
func parseItem(member string) (it item, ok bool) {
	first := true
	for part := range splitUnquoted(member, ';') {
		part = strings.TrimSpace(part)
		if first {
			if it.name, ok = unquote(part); !ok {
				return item{}, false
			}
			first = false
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "r":
			it.remaining = value
		case "t":
			it.reset = value
		case "q":
			it.quota = value
		case "w":
			it.window = value
		case "qu":
			it.units = value
		case "pk":
			it.pk = value
		}
	}
	return it, ok
}

// unquote returns a string without its quotes, or a token as it is.
func unquote(s string) (string, bool) {
	inner, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return s, s != ""
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"':
			return b.String(), i == len(inner)-1
		case c == '\\' && i+1 < len(inner):
			i++
			b.WriteByte(inner[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false // it is not closed
}
