package soak

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Sizes of the picture, in pixels.
const (
	panelWidth, panelHeight = 720, 120
	margin                  = 50
)

// draw makes an SVG with one panel per curve. Gaps are where no value could be had.
func draw(samples []sample) string {
	var b strings.Builder
	height := len(curves)*(panelHeight+margin) + margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", panelWidth+2*margin, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	end := time.Duration(1)
	if len(samples) > 0 {
		end = max(samples[len(samples)-1].at, 1)
	}
	for k, c := range curves {
		top := 1.0
		for _, s := range samples {
			if v := s.values[k]; v > top {
				top = v
			}
		}
		top *= 1.1
		y := margin/2 + k*(panelHeight+margin)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", margin, y+12, strings.TrimSpace(c.name+" "+c.unit))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#ccc"/>`+"\n", margin, y+20, panelWidth, panelHeight)
		fmt.Fprintf(&b, `<text x="2" y="%d" fill="#666">%.0f</text><text x="2" y="%d" fill="#666">0</text><text x="%d" y="%d" fill="#666">%s</text>`+"\n",
			y+30, top, y+20+panelHeight, panelWidth, y+34+panelHeight, end.Round(time.Second))
		line := func(points []string) {
			fmt.Fprintf(&b, `<polyline fill="none" stroke="#1565c0" stroke-width="1.5" points="%s"/>`+"\n", strings.Join(points, " "))
		}
		var points []string
		for _, s := range samples {
			v := s.values[k]
			if math.IsNaN(v) {
				line(points)
				points = nil
				continue
			}
			points = append(points, fmt.Sprintf("%.1f,%.1f", margin+float64(panelWidth)*float64(s.at)/float64(end), float64(y+20+panelHeight)-float64(panelHeight)*v/top))
		}
		line(points)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
