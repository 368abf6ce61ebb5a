package timeline

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFitTakesItsWidthFromColumns(t *testing.T) {
	for columns, want := range map[string]int{"": 80, "120": 120, "0": 80, "-3": 80, "wide": 80} {
		width, _ := Fit(regular(t), func(name string) string { return map[string]string{"COLUMNS": columns}[name] })
		if width != want {
			t.Errorf("COLUMNS=%q: width %d, want %d", columns, width, want)
		}
	}
}

func TestColorsAreForTerminalsOnly(t *testing.T) {
	device, err := os.Open(os.DevNull) // a character device, as terminals are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })

	for _, tt := range []struct {
		name string
		f    *os.File
		env  map[string]string
		want bool
	}{
		{"a terminal", device, map[string]string{"TERM": "xterm"}, IsTerminal(device)},
		{"Windows Terminal", device, map[string]string{"WT_SESSION": "1"}, IsTerminal(device)},
		{"a file", regular(t), map[string]string{"TERM": "xterm"}, false},
		{"NO_COLOR", device, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"a dumb terminal", device, map[string]string{"TERM": "dumb"}, false},
		{"an unknown terminal", device, nil, false},
	} {
		if _, got := Fit(tt.f, func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%s: colour %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f := regular(t)
	if IsTerminal(f) {
		t.Error("a regular file passes for a terminal")
	}
	f.Close()
	if IsTerminal(f) {
		t.Error("a closed file passes for a terminal")
	}
}

func regular(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
