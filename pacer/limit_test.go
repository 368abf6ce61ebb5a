package pacer_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/pacer"
)

func TestParseLimits(t *testing.T) {
	for _, test := range []struct {
		text string
		want []pacer.Limit
	}{
		{"20/s", []pacer.Limit{{Calls: 20, Period: time.Second}}},
		{"20/s, 5000/h even, 90000 tokens/min, 2/s bucket 40", []pacer.Limit{
			{Calls: 20, Period: time.Second},
			{Calls: 5000, Period: time.Hour, Even: true},
			{Cost: 90000, Unit: tokens, Period: time.Minute},
			{Calls: 2, Period: time.Second, Bucket: 40},
		}},
		{"50points/s bucket 1000,1/d", []pacer.Limit{
			{Cost: 50, Unit: "points", Period: time.Second, Bucket: 1000}, {Calls: 1, Period: 24 * time.Hour},
		}},
		{" 3 input-tokens_v1.5 / 1h30m ,\n7 / 250ms even ", []pacer.Limit{
			{Cost: 3, Unit: "input-tokens_v1.5", Period: 90 * time.Minute}, {Calls: 7, Period: 250 * time.Millisecond, Even: true},
		}},
		{"1/s bucket 1", []pacer.Limit{{Calls: 1, Period: time.Second, Bucket: 1}}},
		{"5 even/s, 6 bucket/s", []pacer.Limit{{Cost: 5, Unit: "even", Period: time.Second}, {Cost: 6, Unit: "bucket", Period: time.Second}}},
		{fmt.Sprintf("%d/2562047h47m16.854775807s", math.MaxInt), []pacer.Limit{{Calls: math.MaxInt, Period: never}}},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := pacer.ParseLimits(test.text)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("ParseLimits: %+v, %v, want %+v", got, err, test.want)
			}
			wantRoundTrip(t, got)
		})
	}
}

func TestParseLimitsSaysWhatIsWrongAndWhatIsAllowed(t *testing.T) {
	number := func(s string) string { return fmt.Sprintf("number is %q, must be from 1 to %d", s, math.MaxInt) }
	const period = `must be "s", "min", "h", "d" or a duration such as "1m30s"`
	for _, test := range []struct{ text, want string }{
		{"", `pacer: limit 1, "": must be number [unit] "/" period ["even" | "bucket" number]`},
		{"20", `pacer: limit 1, "20": must be number [unit] "/" period ["even" | "bucket" number]`},
		{"20/s,", `pacer: limit 2, "": must be number [unit] "/" period ["even" | "bucket" number]`},
		{"/s", `pacer: limit 1, "/s": ` + number("")},
		{"0/s", `pacer: limit 1, "0/s": ` + number("0")},
		{"-1/s", `pacer: limit 1, "-1/s": ` + number("-1")},
		{"+1 tokens/s", `pacer: limit 1, "+1 tokens/s": ` + number("+1")},
		{"tokens/s", `pacer: limit 1, "tokens/s": ` + number("")},
		{"99999999999999999999/s", `pacer: limit 1, "99999999999999999999/s": ` + number("99999999999999999999")},
		{"1/", `pacer: limit 1, "1/": has no period, ` + period},
		{"1/m", `pacer: limit 1, "1/m": period is "m", ` + period},
		{"1/-1s", `pacer: limit 1, "1/-1s": Period is -1s, must be more than 0`},
		{"1/s odd", `pacer: limit 1, "1/s odd": "odd" after the period, must be "even", "bucket" number or nothing`},
		{"1/s even bucket 3", `pacer: limit 1, "1/s even bucket 3": "even bucket 3" after the period, must be "even", "bucket" number or nothing`},
		{"1/s bucket +3", `pacer: limit 1, "1/s bucket +3": ` + number("+3")},
		{"1 a/s even", `pacer: limit 1, "1 a/s even": Even is true, must be false where Cost is set`},
		{"1 a b/s", `pacer: limit 1, "1 a b/s": Unit is "a b", must be what Cost counts: a letter, then letters, digits, '_', '-' or '.'`},
		{"1/s, x, 0/s", `pacer: limit 2, "x": must be number [unit] "/" period ["even" | "bucket" number]` + "\n" + `pacer: limit 3, "0/s": ` + number("0")},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := pacer.ParseLimits(test.text)
			if got != nil || err == nil || err.Error() != test.want {
				t.Errorf("ParseLimits: %v, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestParseLimitsReadsNoMoreUnitsThanNewTakes(t *testing.T) {
	text := "1/s"
	for i := range 16 {
		text += fmt.Sprintf(", 5 unit%d/s, 50 unit%d/min", i, i)
	}
	if limits, err := pacer.ParseLimits(text); len(limits) != 33 || err != nil {
		t.Errorf("ParseLimits: %d limits, %v, want 33", len(limits), err)
	}
	limits, err := pacer.ParseLimits(text + ", 1 more/s")
	if want := "pacer: limits count in 17 units, must be at most 16"; limits != nil || err == nil || err.Error() != want {
		t.Errorf("ParseLimits: %v, %v\nwant %s", limits, err, want)
	}
}

// What ParseLimits reads New takes, and Limit.String writes; what New takes ParseLimits
// reads from what Limit.String writes.
func FuzzParseLimits(f *testing.F) {
	for _, text := range []string{
		"20/s", "20/s, 5000/h even, 90000 tokens/min, 2/s bucket 40", "1é/1.5µs", "1/s even", "0/0", "1 a/s bucket 7,", "7/24h", "01/60m",
	} {
		f.Add(text, 1, 0, "", int64(time.Second), false, 0)
	}
	f.Add("", 0, 5, tokens, int64(90*time.Second), false, 3)
	f.Add("", 0, 5, "a,b", int64(1), false, 0)
	f.Add("", 5, 0, "", int64(never), true, 0)
	f.Fuzz(func(t *testing.T, text string, calls, cost int, unit string, period int64, even bool, bucket int) {
		if limits, err := pacer.ParseLimits(text); err == nil {
			if _, err := pacer.New(pacer.Config{Limits: limits}); err != nil {
				t.Errorf("%q is read as %+v, which New does not take: %v", text, limits, err)
			}
			wantRoundTrip(t, limits)
		}
		l := pacer.Limit{Calls: calls, Cost: cost, Unit: unit, Period: time.Duration(period), Even: even, Bucket: bucket}
		if _, err := pacer.New(pacer.Config{Limits: []pacer.Limit{l}}); err == nil {
			wantRoundTrip(t, []pacer.Limit{l})
		}
	})
}

func wantRoundTrip(t *testing.T, limits []pacer.Limit) {
	t.Helper()
	var texts []string
	for _, l := range limits {
		texts = append(texts, l.String())
	}
	text := strings.Join(texts, ", ")
	if got, err := pacer.ParseLimits(text); err != nil || !slices.Equal(got, limits) {
		t.Errorf("%+v is written as %q, which is read as %+v, %v", limits, text, got, err)
	}
}

func TestContradictoryLimitsAreErrors(t *testing.T) {
	const unit = `what Cost counts: a letter, then letters, digits, '_', '-' or '.'`
	many := pacer.Config{}
	for i := range 17 {
		many.Limits = append(many.Limits, pacer.Limit{Cost: 1, Unit: fmt.Sprint("u", i), Period: 1})
	}
	one := func(l pacer.Limit) pacer.Config { return pacer.Config{Limits: []pacer.Limit{l}} }
	for _, test := range []struct {
		cfg  pacer.Config
		want string
	}{
		{one(pacer.Limit{Calls: 3, Cost: 5, Unit: tokens, Period: 1}), "pacer: Config.Limits[0].Calls is 3, must be 0 where Cost is set (5)"},
		{one(pacer.Limit{Period: 1}), fmt.Sprintf("pacer: Config.Limits[0].Calls is 0, must be from 1 to %d", math.MaxInt)},
		{one(pacer.Limit{Cost: 5, Period: 1}), `pacer: Config.Limits[0].Unit is "", must be ` + unit},
		{one(pacer.Limit{Cost: 5, Unit: "a b", Period: 1}), `pacer: Config.Limits[0].Unit is "a b", must be ` + unit},
		{one(pacer.Limit{Cost: 5, Unit: "2nd", Period: 1}), `pacer: Config.Limits[0].Unit is "2nd", must be ` + unit},
		{one(pacer.Limit{Calls: 5, Unit: tokens, Period: 1}), `pacer: Config.Limits[0].Unit is "tokens", must be "" where Cost is 0`},
		{one(pacer.Limit{Cost: -5, Unit: tokens, Period: 1}), fmt.Sprintf("pacer: Config.Limits[0].Cost is -5, must be from 1 to %d, or 0 where Calls is set", math.MaxInt)},
		{one(pacer.Limit{Cost: 5, Unit: tokens, Period: 1, Even: true}), "pacer: Config.Limits[0].Even is true, must be false where Cost is set"},
		{one(pacer.Limit{Calls: 5, Period: 1, Even: true, Bucket: 7}), "pacer: Config.Limits[0].Even is true, must be false where Bucket is set (7)"},
		{one(pacer.Limit{Calls: 5, Period: 1, Bucket: -7}), fmt.Sprintf("pacer: Config.Limits[0].Bucket is -7, must be 0 (a window) or from 1 to %d", math.MaxInt)},
		{pacer.Config{MaxInFlight: -1, MaxWait: -1, Margin: -1, Limits: []pacer.Limit{{Calls: 1, Period: 1}}},
			"pacer: Config.MaxInFlight is -1, must be 0 (unbounded) or more\npacer: Config.MaxWait is -1ns, must be 0 (unbounded) or more\npacer: Config.Margin is -1ns, must be 0 or more"},
		{many, "pacer: Config.Limits counts in 17 units, must be at most 16"},
	} {
		t.Run(test.want, func(t *testing.T) {
			p, err := pacer.New(test.cfg)
			if p != nil || err == nil || err.Error() != test.want {
				t.Errorf("New: %v, %v\nwant %s", p, err, test.want)
			}
			defer func() {
				if err, _ := recover().(error); err == nil || err.Error() != test.want {
					t.Errorf("Must: panic with %v, want %s", err, test.want)
				}
			}()
			pacer.Must(test.cfg)
		})
	}
}
