package timeline

import (
	"os"
	"strconv"
)

// Fit reports how a picture suits f: the width is COLUMNS where that is a positive number, else 80; colours are for terminals
// only, and not where NO_COLOR is set (no-color.org). getenv is [os.Getenv] but for tests.
func Fit(f *os.File, getenv func(string) string) (width int, color bool) {
	width, err := strconv.Atoi(getenv("COLUMNS"))
	if err != nil || width <= 0 {
		width = defaultWidth
	}
	return width, getenv("NO_COLOR") == "" && understandsANSI(getenv) && IsTerminal(f)
}

// IsTerminal reports whether f is a terminal rather than a file or a pipe.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// understandsANSI tells terminals apart by what they export: every Unix terminal sets TERM, Windows Terminal sets WT_SESSION,
// and the old Windows console, which would print the escape sequences, sets neither.
func understandsANSI(getenv func(string) string) bool {
	term := getenv("TERM")
	return term != "" && term != "dumb" || getenv("WT_SESSION") != ""
}
