package main

import (
	"image/color"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart shows one column of a table as bars.
type chart struct {
	Name, Title string
	Column      int
	Limit       float64 // a line at what is allowed; 0 = none
}

// Colors that can be read on white and on black: a page may be shown on either.
var (
	ours   = color.NRGBA{0x2f, 0x81, 0xf7, 0xff}
	theirs = color.NRGBA{0x9a, 0xa0, 0xa6, 0xff}
	ink    = color.NRGBA{0x7d, 0x85, 0x90, 0xff}
	alarm  = color.NRGBA{0xda, 0x55, 0x4a, 0xff}
)

const (
	barHeight   = vg.Length(14)
	chartWidth  = 6.5 * vg.Inch
	chartMargin = 0.9 * vg.Inch
)

// draw writes t's chart as SVG, with nothing behind it.
func (t table) draw(w io.Writer) error {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.Title.Text = t.Chart.Title
	p.Title.Padding = vg.Points(6)
	p.HideX()
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.Y.Tick.Label} {
		style.Color = ink
		style.Font.Variant = "Sans"
	}
	p.Title.TextStyle.Font.Size = font.Length(11)
	p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width = 0, 0

	rows := slices.Clone(t.Rows)
	slices.Reverse(rows) // the first on top
	names := make([]string, len(rows))
	labels := plotter.XYLabels{XYs: make(plotter.XYs, len(rows)), Labels: make([]string, len(rows))}
	widest := t.Chart.Limit
	for i, r := range rows {
		v := r.Values[t.Chart.Column]
		widest = max(widest, v)
		bar, err := plotter.NewBarChart(plotter.Values{v}, barHeight)
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width, bar.Color = true, float64(i), 0, theirs
		if strings.HasPrefix(r.Name, "pacedhttp") || strings.HasPrefix(r.Name, "ours") {
			bar.Color = ours
		}
		p.Add(bar)
		names[i], labels.XYs[i], labels.Labels[i] = r.Name, plotter.XY{X: v, Y: float64(i)}, " "+number(v)
	}
	values, err := plotter.NewLabels(labels)
	if err != nil {
		return err
	}
	for i := range values.TextStyle {
		values.TextStyle[i].Color, values.TextStyle[i].Font.Variant, values.TextStyle[i].YAlign = ink, "Sans", -.4
	}
	p.Add(values)
	if t.Chart.Limit > 0 {
		limit, err := plotter.NewLine(plotter.XYs{{X: t.Chart.Limit, Y: -.6}, {X: t.Chart.Limit, Y: float64(len(rows)) - .4}})
		if err != nil {
			return err
		}
		limit.Color, limit.Dashes = alarm, []vg.Length{3, 3}
		p.Add(limit)
	}
	p.NominalY(names...)
	for _, name := range names { // a browser's font may be wider than the one that is measured here
		p.Y.Padding = max(p.Y.Padding, p.Y.Tick.Label.Width(name)*.15)
	}
	p.X.Min, p.X.Max = 0, widest*1.1 // room for the last label
	height := chartMargin + vg.Length(len(rows))*(barHeight+8)
	canvas := vgsvg.New(chartWidth, height)
	p.Draw(draw.New(canvas))
	_, err = canvas.WriteTo(w)
	return err
}
