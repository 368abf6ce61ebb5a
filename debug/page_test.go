package debug_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// words returns what a page's main part says, its elements apart by one space.
func words(t *testing.T, page string) string {
	t.Helper()
	_, main, _ := strings.Cut(page, "<main")
	main, _, found := strings.Cut(main, "</main>")
	if !found {
		t.Fatalf("the page has no main part:\n%s", page)
	}
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>|^[^>]*>`).ReplaceAllString(main, " ")), " ")
}

func TestPageSaysHowAPacerStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		h := debug.Handler(debug.Pacer("openai", only(pacer.Stats{
			Granted: 1_234_567, Rejected: 4, Canceled: 2, Late: 1, Waiting: 37,
			InFlight: 3, OldestInFlight: now.Add(-1500 * time.Millisecond),
			State: pacer.StatePaused, Cause: "throttled", PausedUntil: now.Add(75 * time.Second),
			Next: now.Add(75 * time.Second), Predicted: now.Add(80 * time.Second),
			Limits: []pacer.LimitStats{
				{Limit: pacer.Limit{Calls: 60, Period: time.Minute}, Used: 60, Next: now.Add(3 * time.Second)},
				{Limit: pacer.Limit{Cost: 90_000, Unit: "tokens", Period: time.Minute}, Used: 71_204, Left: 18_796, Uncosted: 12, Next: now},
			},
			Quotas: []pacer.QuotaStats{
				{Name: "requests", Remaining: 12, Limit: 5000, Reset: now.Add(31 * time.Minute)},
				{Name: "burst", Unit: "tokens", Remaining: 27},
			},
		})), debug.Pacer("github", only(pacer.Stats{Next: now, Predicted: now})))
		const want = "openai is paused as of 2000-01-01 00:00:00 UTC" +
			" Pacer Limits Waiting In flight Next start New call Granted Refused Canceled Late" +
			" openai paused throttled , 1m15s left" +
			" 60/min 60 of 60 room in 3.0s" +
			" 90000 tokens/min 71,204 of 90,000 12 named no cost" +
			" server requests 4,988 of 5,000 resets in 31m" +
			" server burst tokens 27 left" +
			" 37 3 oldest 1.5s in 1m15s in 1m20s 1,234,567 4 2 1" +
			" github flowing none 0 0 now now 0 0 0 0"
		if got := words(t, ask(t, h, "GET", "/").Body.String()); got != want {
			t.Errorf("the page says\n%s, want\n%s", got, want)
		}
	})
}

func TestHeadingSaysWhoIsHeldBack(t *testing.T) {
	source := func(name string, s pacer.State) debug.Source { return debug.Pacer(name, only(pacer.Stats{State: s})) }
	var k keyed
	for range 3 {
		k.add(fmt.Sprint(len(k.keys)), 0).PauseUntil(time.Now().Add(time.Hour))
	}
	a, b, c := source("a", pacer.StatePaused), source("b", pacer.StateDown), source("c", pacer.StateProbing)
	for _, test := range []struct {
		sources []debug.Source
		want    string
	}{
		{nil, "There is no pacer"},
		{[]debug.Source{source("a", pacer.StateFlowing)}, "All is flowing"},
		{[]debug.Source{a, b, c, debug.Keyed("k", &k, nil)}, "a is paused, b is down, c is probing, k: 3 keys held back"},
		{[]debug.Source{a, b, c, a, b}, "a is paused, b is down, c is probing, and 2 more"},
		{[]debug.Source{source(strings.Repeat("a", 40), pacer.StateDown)}, strings.Repeat("a", 31) + "… is down"},
	} {
		page := ask(t, debug.Handler(test.sources...), "GET", "/").Body.String()
		if !strings.Contains(page, `role="status">`+test.want+"</p>") || !strings.Contains(page, "<title>"+test.want+" · Pacers</title>") {
			t.Errorf("the page does not say %q", test.want)
		}
	}
}

func TestHostileNamesAreText(t *testing.T) {
	const script = `</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>{{.}}`
	const turned = "a\u202eb\x00c\xffd\ne"
	var k keyed
	k.add("key", 1)
	hostile := func(name string) debug.Source {
		return debug.Pacer(name, only(pacer.Stats{
			State: pacer.StatePaused, Cause: name, Quotas: []pacer.QuotaStats{{Name: name, Unit: name, Remaining: 1}},
		}))
	}
	for _, name := range []string{script, turned, strings.Repeat("long", 1000)} {
		h := debug.Handler(hostile(name), debug.Keyed(name, &k, func(string) string { return name }))
		page := ask(t, h, "GET", "/").Body.String()
		json := ask(t, h, "GET", "/", "application/json").Body.String()
		if strings.Contains(page, "<img") || strings.Count(page, "<script") != 1 || strings.Count(page, "</script") != 1 {
			t.Errorf("a name is not escaped:\n%s", page)
		}
		for _, text := range []string{page, json} {
			if len(text) > 40_000 {
				t.Errorf("a long name is shown at length: %d bytes", len(text))
			}
			for _, r := range text {
				if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
					t.Errorf("%q is shown", r)
				}
			}
		}
	}
	if v := askJSON(t, debug.Handler(hostile(turned))); v.Pacers[0]["name"] != "a\ufffdb\ufffdc\ufffdd\ufffde" {
		t.Errorf("it is shown as %q", v.Pacers[0]["name"])
	}
}

func TestPolicyNamesWhatStandsInThePage(t *testing.T) {
	rec := ask(t, debug.Handler(debug.Pacer("p", only(pacer.Stats{}))), "GET", "/")
	page, policy := rec.Body.String(), rec.Header().Get("Content-Security-Policy")
	for _, tag := range []string{"script", "style"} {
		_, text, _ := strings.Cut(page, "<"+tag+">")
		text, _, _ = strings.Cut(text, "</"+tag+">")
		sum := sha256.Sum256([]byte(text))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; len(text) < 1000 || !strings.Contains(policy, want) {
			t.Errorf("%s is not in %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error("unsafe: ", policy)
	}
}

func TestPageNeedsNothingFromTheNetwork(t *testing.T) {
	page := ask(t, debug.Handler(debug.Pacer("p", only(pacer.Stats{}))), "GET", "/").Body.String()
	for _, m := range regexp.MustCompile(`(?:src|href|url|import|action)\s*[=(]\s*["']?([^"'\s>)]*)`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "data:image/svg") && m[1] != "?format=json" {
			t.Errorf("the page asks for %s", m[1])
		}
	}
}

// WCAG 2.2, 1.4.3 and 1.4.11: 4.5 for text, 3 for what else has a meaning.
func TestColoursHaveContrast(t *testing.T) {
	css, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(string(css), -1)
	if len(themes) != 2 {
		t.Fatalf("%d themes, want a light and a dark one", len(themes))
	}
	for i, theme := range themes {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--(\w+): #(\w{6})`).FindAllStringSubmatch(theme[1], -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		contrast := func(a, b string) float64 {
			return (max(colours[a], colours[b]) + .05) / (min(colours[a], colours[b]) + .05)
		}
		for _, ground := range []string{"bg", "card"} {
			for _, text := range []string{"text", "muted", "flowing", "probing", "paused", "down"} {
				if c := contrast(text, ground); c < 4.5 {
					t.Errorf("theme %d: %s on %s has a contrast of %.2f", i, text, ground, c)
				}
			}
			for _, shape := range []string{"fill", "full"} {
				if c := contrast(shape, ground); c < 3 {
					t.Errorf("theme %d: %s on %s has a contrast of %.2f", i, shape, ground, c)
				}
			}
		}
	}
}

// luminance is the relative luminance of a colour of sRGB, by WCAG 2.2.
func luminance(t *testing.T, hex string) (sum float64) {
	t.Helper()
	rgb, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	for i, weight := range []float64{.0722, .7152, .2126} {
		c := float64(rgb>>(8*i)&0xff) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
