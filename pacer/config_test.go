package pacer_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestNewReportsEveryInvalidField(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name string
		cfg  pacer.Config
		want []string
	}{
		{"nothing set", pacer.Config{}, []string{
			"pacer: Config.Limits is empty, must hold at least one Limit where MaxInFlight is 0 and Parent is nil",
		}},
		{"zero limit", pacer.Config{Limits: []pacer.Limit{{}}}, []string{
			fmt.Sprintf("pacer: Config.Limits[0].Calls is 0, must be from 1 to %d", math.MaxInt),
			"pacer: Config.Limits[0].Period is 0s, must be more than 0",
		}},
		{"everything", pacer.Config{Limits: []pacer.Limit{{Calls: -1, Period: s}, {Calls: 1, Period: s, Even: true}, {Calls: 5, Period: -s, Even: true}}, MaxWaiting: -3}, []string{
			fmt.Sprintf("pacer: Config.Limits[0].Calls is -1, must be from 1 to %d", math.MaxInt),
			"pacer: Config.Limits[2].Period is -1s, must be more than 0",
			"pacer: Config.MaxWaiting is -3, must be 0 (unbounded) or more",
		}},
		{"no limits and a bad queue", pacer.Config{MaxWaiting: math.MinInt}, []string{
			"pacer: Config.Limits is empty, must hold at least one Limit where MaxInFlight is 0 and Parent is nil",
			fmt.Sprintf("pacer: Config.MaxWaiting is %d, must be 0 (unbounded) or more", math.MinInt),
		}},
		{"states", pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: s}}, MaxPause: -s, Outage: &pacer.Outage{After: -1}}, []string{
			"pacer: Config.MaxPause is -1s, must be 0 (1m0s) or more",
			"pacer: Config.Outage.After is -1, must be 0 (5) or more",
		}},
		{"what needs a Parent", pacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: s}}, Weight: 2, PassUp: true}, []string{
			"pacer: Config.Weight is 2, must be 0 where Parent is nil",
			"pacer: Config.PassUp is true, must be false where Parent is nil",
		}},
		{"a negative Weight", pacer.Config{Parent: pacer.Burst(1, s), Weight: -1}, []string{
			"pacer: Config.Weight is -1, must be 0 (1) or more",
		}},
		{"too large a Weight", pacer.Config{Parent: pacer.Burst(1, s), Weight: 1_000_001}, []string{
			"pacer: Config.Weight is 1000001, must be at most 1000000",
		}},
		{"a Parent that nobody made", pacer.Config{Parent: new(pacer.Pacer)}, []string{
			"pacer: Config.Parent is a Pacer without limits, must be made by New, Burst or Drip",
		}},
		{"an Outage of one that hears of none", pacer.Config{Parent: pacer.Burst(1, s), Limits: []pacer.Limit{{Calls: 1, Period: s}}, PassUp: true, Outage: &pacer.Outage{}}, []string{
			"pacer: Config.Outage is set, must be nil where PassUp is true or Limits is empty: failures are Parent's business then",
		}},
		{"an Outage without Limits", pacer.Config{Parent: pacer.Burst(1, s), Outage: &pacer.Outage{}}, []string{
			"pacer: Config.Outage is set, must be nil where PassUp is true or Limits is empty: failures are Parent's business then",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := pacer.New(test.cfg)
			if p != nil || err == nil {
				t.Fatalf("New: %v, %v, want nil and an error", p, err)
			}
			if want := strings.Join(test.want, "\n"); err.Error() != want {
				t.Errorf("New:\n%v\nwant\n%v", err, want)
			}
		})
	}
}

func TestNewKeepsNothingOfItsConfig(t *testing.T) {
	limits := []pacer.Limit{{Calls: 2, Period: time.Hour}}
	p, err := pacer.New(pacer.Config{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	limits[0] = pacer.Limit{Calls: 1, Period: time.Nanosecond}
	if got := []bool{p.Allow(), p.Allow(), p.Allow()}; !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("Allow answered %v, want true, true, false: changing the caller's Limits changed the pacer", got)
	}
}

func TestBurstAndDripPanicOnInvalidLimits(t *testing.T) {
	for name, make := range map[string]func(int, time.Duration) *pacer.Pacer{"Burst": pacer.Burst, "Drip": pacer.Drip} {
		for _, test := range []struct {
			calls  int
			period time.Duration
			want   string
		}{
			{0, time.Second, fmt.Sprintf("pacer: Config.Limits[0].Calls is 0, must be from 1 to %d", math.MaxInt)},
			{-1, time.Second, fmt.Sprintf("pacer: Config.Limits[0].Calls is -1, must be from 1 to %d", math.MaxInt)},
			{1, 0, "pacer: Config.Limits[0].Period is 0s, must be more than 0"},
			{1, -1, "pacer: Config.Limits[0].Period is -1ns, must be more than 0"},
		} {
			t.Run(fmt.Sprintf("%s(%d,%v)", name, test.calls, test.period), func(t *testing.T) {
				defer func() {
					err, _ := recover().(error)
					if err == nil || err.Error() != test.want {
						t.Errorf("panic: %v, want %q", err, test.want)
					}
				}()
				make(test.calls, test.period)
			})
		}
	}
}

func TestImportsOnlyTheStandardLibrary(t *testing.T) {
	const (
		own   = "github.com/pacedhttp/pacedhttp/pacer/internal/"
		quota = "github.com/pacedhttp/pacedhttp/quota" // which imports nothing else either
	)
	for _, dir := range []string{".", "internal/*", "../quota"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("source of %s: %v, %v", dir, files, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range file.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if root, _, _ := strings.Cut(path, "/"); strings.Contains(root, ".") && !strings.HasPrefix(path, own) && path != quota {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
