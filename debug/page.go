package debug

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"css":     func() template.CSS { return template.CSS(pageCSS) },
		"js":      func() template.JS { return template.JS(pageJS) },
		"icon":    icon,
		"count":   grouped[int],
		"counts":  grouped[uint64],
		"plural":  plural,
		"percent": percent,
	}).Parse(pageHTML))

	// policy lets a browser run and apply what stands in the page and nothing else, and fetch the
	// page anew.
	policy = strings.Join([]string{
		"default-src 'none'", "script-src " + source(pageJS), "style-src " + source(pageCSS), "img-src data:",
		"connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
)

// source names an inline script or style in a policy (CSP Level 3, §2.3.1).
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func writePage(w io.Writer, v view) error { return page.Execute(w, pageData{v}) }

// pageData is a view in words.
type pageData struct{ view }

// Rows are the rows of a table.
func (p pageData) Rows(of []pacerView) []row {
	rows := make([]row, len(of))
	for i, v := range of {
		rows[i] = row{v, p.Now}
	}
	return rows
}

// Heading is a sentence that changes only when a state does, since screen readers read it out then.
func (p pageData) Heading() string {
	const most = 4
	var held []string
	for _, v := range p.Pacers {
		if v.State != "flowing" {
			held = append(held, short(v.Name, 32)+" is "+v.State)
		}
	}
	for _, k := range p.Keyed {
		if n := k.Held(); n > 0 {
			held = append(held, short(k.Name, 32)+": "+plural(n, "key")+" held back")
		}
	}
	switch n := len(held); {
	case len(p.Pacers)+len(p.Keyed) == 0:
		return "There is no pacer"
	case n == 0:
		return "All is flowing"
	case n > most:
		return strings.Join(held[:most-1], ", ") + fmt.Sprintf(", and %d more", n-most+1)
	default:
		return strings.Join(held, ", ")
	}
}

// Worst is the state of what is worst off.
func (p pageData) Worst() string {
	order := []string{"flowing", "probing", "paused", "down"}
	worst := 0
	for _, v := range p.Pacers {
		worst = max(worst, slices.Index(order, v.State))
	}
	for _, k := range p.Keyed {
		for state := range k.States {
			worst = max(worst, slices.Index(order, state))
		}
	}
	return order[worst]
}

// Held is how many keys are held back.
func (k keyedView) Held() (n int) {
	for state, keys := range k.States {
		if state != "flowing" {
			n += keys
		}
	}
	return n
}

// Unseen is how many keys are not shown.
func (k keyedView) Unseen() int { return k.Keys - len(k.Busiest) }

// A row is one pacer in words.
type row struct {
	pacerView
	now time.Time
}

// in says when t is.
func (r row) in(t time.Time) string {
	switch {
	case t.IsZero():
		return "–"
	case !t.After(r.now):
		return "now"
	default:
		return "in " + span(t.Sub(r.now))
	}
}

func (r row) NextIn() string      { return r.in(r.Next) }
func (r row) PredictedIn() string { return r.in(r.Predicted) }

// Left is how long the pause goes on, or "".
func (r row) Left() string {
	if !r.PausedUntil.After(r.now) {
		return ""
	}
	return span(r.PausedUntil.Sub(r.now)) + " left"
}

// OldestFor is since when the oldest is in flight, or "".
func (r row) OldestFor() string {
	if r.Oldest.IsZero() {
		return ""
	}
	return span(r.now.Sub(r.Oldest))
}

// A gauge is a limit or a quota, and how full it is.
type gauge struct {
	Label, Unit string
	Heard       bool // from the server
	Known       bool // its whole is
	Used, Size  int
	Left        int
	Note        string
}

// Gauges are the limits, and the quotas that the server told.
func (r row) Gauges() []gauge {
	var all []gauge
	for _, l := range r.Limits {
		g := gauge{Label: l.Limit, Known: true, Used: l.Used, Size: l.Size, Left: l.Left}
		var notes []string
		if l.Next.After(r.now) {
			notes = append(notes, "room "+r.in(l.Next))
		}
		if l.Uncosted > 0 {
			notes = append(notes, grouped(l.Uncosted)+" named no cost")
		}
		g.Note = strings.Join(notes, ", ")
		all = append(all, g)
	}
	for _, q := range r.Quotas {
		g := gauge{
			Label: q.Name, Unit: q.Unit, Heard: true, Known: q.Limit > 0,
			Used: max(0, q.Limit-q.Remaining), Size: q.Limit, Left: q.Remaining,
		}
		if q.Reset.After(r.now) {
			g.Note = "resets " + r.in(q.Reset)
		}
		all = append(all, g)
	}
	return all
}

func percent(part, whole int) int {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return int(min(1, float64(part)/float64(whole)) * 100)
}

func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(n) + " " + thing
}

// icon is a dot in the state's colour, for the browser's tab.
func icon(state string) template.URL {
	colour := map[string]string{"flowing": "16a34a", "probing": "2563eb", "paused": "d97706", "down": "dc2626"}[state]
	return template.URL("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E" +
		"%3Ccircle cx='8' cy='8' r='7' fill='%23" + colour + "'/%3E%3C/svg%3E")
}
