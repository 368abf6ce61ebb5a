package timeline

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Panel is one picture of several in a drawing by [SVG], and what is said of it.
type Panel struct {
	Title, Note string
	Picture     // Width and Color mean nothing here
}

const (
	svgWidth  = 760
	svgMargin = 16
	svgLeft   = 64 // of the time axis; labels are left of it
	svgRow    = 8  // of a call
	svgQuota  = 34 // the height of a whole quota
	svgHead   = 46 // title and note of a panel
	svgGap    = 22 // between panels
)

// The colours are a page's own, light or dark, on a ground of their own: so they are legible whatever page shows them.
const svgStyle = `
  svg { --ground: #ffffff; --text: #1f2328; --dim: #59636e; --line: #b7c0c9; --load: #9db9d8; --ok: #1a7f37; --unavailable: #9a6700; --throttled: #cf222e; --failed: #8250df }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #0d1117; --text: #e6edf3; --dim: #9aa4af; --line: #4a535d; --load: #33597f; --ok: #3fb950; --unavailable: #d29922; --throttled: #ff7b72; --failed: #bc8cff }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--text) }
  .title { font-weight: 600; font-size: 15px }
  .dim { fill: var(--dim) }
  .right { text-anchor: end }
  .middle { text-anchor: middle }
  .ground { fill: var(--ground); stroke: var(--line) }
  .wait, .axis { stroke: var(--line); fill: none }
  .quota { stroke: var(--dim); stroke-dasharray: 4 3 }
  .load { fill: var(--load) }
  .over, .bad { fill: var(--throttled) }
  .sent { fill: none; stroke: var(--dim) }
  .ok { fill: var(--ok) }
  .unavailable { fill: var(--unavailable) }
  .throttled { stroke: var(--throttled); stroke-width: 2.4; fill: none }
  .failed { fill: var(--failed) }
`

// Every outcome has a form besides its colour. Symbols are drawn around (0, 0).
const svgSymbols = `
  <circle id="sent" r="3" class="sent"/>
  <circle id="ok" r="3.4" class="ok"/>
  <path id="unavailable" d="M0-4.4 4.4 3.4H-4.4Z" class="unavailable"/>
  <path id="throttled" d="M-3.4-3.4 3.4 3.4M-3.4 3.4 3.4-3.4" class="throttled"/>
  <path id="failed" d="M0-4.6 4.6 0 0 4.6-4.6 0Z" class="failed"/>
`

var svgOutcomes = [...]string{Sent: "sent", OK: "ok", Unavailable: "unavailable", Throttled: "throttled", Failed: "failed"}

// SVG draws panels one below the other on one scale of time, for light and dark pages.
func SVG(description string, panels ...Panel) string {
	d := &svgDrawing{}
	for _, p := range panels {
		for _, c := range p.Calls {
			d.span = max(d.span, c.End)
		}
		d.span = max(d.span, slices.Max(append([]time.Duration{time.Millisecond}, p.Arrivals...)))
	}
	d.y = svgMargin
	for i, p := range panels {
		if i > 0 {
			d.y += svgGap
		}
		d.panel(i, p)
	}
	d.legend()
	height := d.y + svgMargin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t">
<title id="t">%s</title>
<style>%s</style>
<defs>%s</defs>
<rect x=".5" y=".5" width="%d" height="%d" rx="6" class="ground"/>
%s</svg>
`, svgWidth, height, svgWidth, height, escape(description), svgStyle, svgSymbols, svgWidth-1, height-1, &d.text)
}

type svgDrawing struct {
	text     strings.Builder
	span     time.Duration
	y        int // of what comes next
	outcomes [Failed + 1]bool
}

func (d *svgDrawing) put(format string, args ...any) { fmt.Fprintf(&d.text, format+"\n", args...) }

// x is where a moment is drawn.
func (d *svgDrawing) x(at time.Duration) float64 {
	const width = svgWidth - svgMargin - svgLeft - 6
	return svgLeft + width*float64(min(max(at, 0), d.span))/float64(d.span)
}

func (d *svgDrawing) panel(number int, p Panel) {
	d.put(`<text x="%d" y="%d" class="title">%s</text>`, svgMargin, d.y+14, escape(p.Title))
	d.put(`<text x="%d" y="%d" class="dim">%s</text>`, svgMargin, d.y+33, escape(p.Note))
	d.y += svgHead
	d.put(`<text x="%d" y="%d" class="dim right">calls</text>`, svgLeft-10, d.y+10)
	for _, c := range p.Calls {
		d.call(c)
	}
	if p.Quota > 0 && p.Window > 0 {
		d.load(number, p)
	}
	d.axis()
}

func (d *svgDrawing) call(c Call) {
	y := d.y + svgRow/2
	d.put(`<path d="M%.1f %dH%.1f" class="wait"/>`, d.x(c.Begin), y, d.x(c.End))
	for _, a := range c.Attempts {
		o := min(a.Outcome, Failed)
		d.outcomes[o] = true
		d.put(`<use href="#%s" x="%.1f" y="%d"/>`, svgOutcomes[o], d.x(a.At), y)
	}
	d.y += svgRow
}

// load draws how many requests there were in the window that ended at each moment, what was too many in another colour.
func (d *svgDrawing) load(number int, p Panel) {
	arrivals := slices.Sorted(slices.Values(p.Arrivals))
	busiest := p.Quota
	moments := slices.Clone(arrivals)
	for _, at := range arrivals {
		busiest = max(busiest, inWindow(arrivals, at, p.Window))
		if leaves := at + p.Window; leaves < d.span {
			moments = append(moments, leaves)
		}
	}
	slices.Sort(moments)
	unit := float64(svgQuota) / float64(p.Quota)
	top := d.y + 12
	bottom := float64(top) + unit*float64(busiest)
	quota := bottom - svgQuota

	var path strings.Builder
	fmt.Fprintf(&path, "M%d %.1f", svgLeft, bottom)
	for _, at := range moments {
		fmt.Fprintf(&path, "H%.1fV%.1f", d.x(at), bottom-unit*float64(inWindow(arrivals, at, p.Window)))
	}
	fmt.Fprintf(&path, "H%.1fV%.1fZ", d.x(d.span), bottom)
	d.put(`<clipPath id="within%d"><rect x="0" y="%.1f" width="%d" height="%d"/></clipPath>`, number, quota, svgWidth, svgQuota)
	d.put(`<clipPath id="over%d"><rect x="0" y="%d" width="%d" height="%.1f"/></clipPath>`, number, top, svgWidth, quota-float64(top))
	d.put(`<path d="%s" class="load" clip-path="url(#within%d)"/>`, &path, number)
	d.put(`<path d="%s" class="over" clip-path="url(#over%d)"/>`, &path, number)
	d.put(`<path d="M%d %.1fH%.1f" class="quota"/>`, svgLeft, quota, d.x(d.span))
	d.put(`<text x="%d" y="%.1f" class="dim right">%d / %s</text>`, svgLeft-10, quota+5, p.Quota, seconds(p.Window.Round(100*time.Millisecond)))
	d.y = int(bottom)
}

// axis draws a line with ticks at round times, and the times below it.
func (d *svgDrawing) axis() {
	d.put(`<path d="M%d %dH%.1f" class="axis"/>`, svgLeft, d.y, d.x(d.span))
	for at, step := time.Duration(0), roundStep(d.span/8); at <= d.span; at += step {
		d.put(`<path d="M%.1f %dv4" class="axis"/><text x="%.1f" y="%d" class="dim middle">%s</text>`, d.x(at), d.y, d.x(at), d.y+18, seconds(at))
	}
	d.y += 22
}

// legend explains the marks that were used.
func (d *svgDrawing) legend() {
	d.y += 24
	x := svgLeft
	for o, used := range d.outcomes {
		if used {
			d.put(`<use href="#%s" x="%d" y="%d"/><text x="%d" y="%d">%s</text>`, svgOutcomes[o], x, d.y-4, x+10, d.y, outcomeNames[o])
			x += 58
		}
	}
	d.put(`<path d="M%d %dh22" class="wait"/><text x="%d" y="%d">waiting</text>`, x, d.y-4, x+28, d.y)
	x += 100
	d.put(`<rect x="%d" y="%d" width="14" height="9" class="load"/><text x="%d" y="%d">requests in the last window</text>`, x, d.y-9, x+20, d.y)
	x += 222
	d.put(`<rect x="%d" y="%d" width="14" height="9" class="over"/><text x="%d" y="%d">over the quota</text>`, x, d.y-9, x+20, d.y)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
