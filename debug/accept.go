package debug

import (
	"mime"
	"strconv"
	"strings"
)

const (
	textHTML        = "text/html"
	applicationJSON = "application/json"
)

// negotiate returns which of offers a request prefers by its Accept headers, the first of those it
// likes equally well, or "" if it wants none of them (RFC 9110 §12.5.1). What is illegible there is
// as if it had not been said. No offer has a parameter that a range could ask for, so they are not
// compared.
func negotiate(accept []string, offers ...string) string {
	best, most := "", 0.0
	for _, offer := range offers {
		if q := quality(accept, offer); q > most {
			best, most = offer, q
		}
	}
	return best
}

// quality returns how much the most specific range that an offer matches is worth. Who names no
// range takes all.
func quality(accept []string, offer string) float64 {
	group, _, _ := strings.Cut(offer, "/")
	q, specific, ranges := 0.0, 0, 0
	for element := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		worth := 1.0
		if text, ok := params["q"]; ok {
			if worth, err = strconv.ParseFloat(text, 64); err != nil || !(worth >= 0 && worth <= 1) {
				continue
			}
		}
		ranges++
		match := 0
		switch name {
		case offer:
			match = 3
		case group + "/*":
			match = 2
		case "*/*":
			match = 1
		}
		switch {
		case match > specific:
			q, specific = worth, match
		case match == specific && match > 0:
			q = max(q, worth)
		}
	}
	if ranges == 0 {
		return 1
	}
	return q
}
