package debug_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pacedhttp/pacedhttp/debug"
	"github.com/pacedhttp/pacedhttp/pacer"
)

// browse runs a headless Chromium and returns what it writes. Its time is virtual: it stands still
// while a request is under way and leaps where nothing happens, and ends after 10 s.
func browse(t *testing.T, url string, args ...string) (stdout string) {
	t.Helper()
	var path string
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	switch {
	case path != "":
	case os.Getenv("PACEDHTTP_REQUIRE_CHROMIUM") == "1":
		t.Fatal("PACEDHTTP_REQUIRE_CHROMIUM is 1, and there is no Chromium on PATH")
	default:
		t.Skip("needs a Chromium on PATH")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second) // a machine that hangs is no reason to hang
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
		"--no-proxy-server", "--force-device-scale-factor=1", "--force-color-profile=srgb", "--user-data-dir=" + t.TempDir(),
		"--enable-logging=stderr", "--virtual-time-budget=10000",
	}, append(args, url)...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, &log)
	}
	for line := range strings.Lines(log.String()) {
		// Errors of a script, and what a policy forbade; but a frame without scripts is meant.
		if strings.Contains(line, "CONSOLE") && !strings.Contains(line, "'allow-scripts'") {
			t.Error(line)
		}
	}
	return out.String()
}

// serve serves a page whose one pacer has one more start each time that somebody looks.
func serve(t *testing.T) (url string, looks *atomic.Uint64) {
	t.Helper()
	looks = new(atomic.Uint64)
	h := debug.Handler(debug.Pacer("counts", func() pacer.Stats { return pacer.Stats{Granted: looks.Add(1)} }))
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL, looks
}

func TestPageRenewsItselfUnderItsPolicy(t *testing.T) {
	url, looks := serve(t)
	dom := browse(t, url, "--dump-dom")
	cell := regexp.MustCompile(`data-label="Granted" class="n">(\d+)<`).FindStringSubmatch(dom)
	if cell == nil {
		t.Fatalf("the page is\n%s", dom)
	}
	// Once a second for 10 s. The last may still be under way when the page is written.
	if n := looks.Load(); n < 8 || n > 11 || cell[1] != fmt.Sprint(n) && cell[1] != fmt.Sprint(n-1) {
		t.Errorf("after 10 s it was fetched %d times and shows %s", n, cell[1])
	}
	if !strings.Contains(dom, ">Live</span>") {
		t.Error("it does not say that it is live")
	}
}

// inFrame shows the page in a frame of another page, whose script is the body of an async function
// that may look into it, and returns what that returns. It may use: frame, and doc, its document;
// after(ms). The policy, which forbids frames, is left out here and tested by others.
func inFrame(t *testing.T, h http.Handler, frame, script string, into any) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		rec.Header().Del("Content-Security-Policy")
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><link rel="icon" href="data:,"><iframe %s src="/page"></iframe><output></output><script>
const frame = document.querySelector("iframe");
const after = (ms) => new Promise((done) => setTimeout(done, ms));
frame.onload = async () => {
	const doc = frame.contentDocument;
	const got = await (async () => { %s })();
	document.querySelector("output").textContent = JSON.stringify(got);
};
</script>`, frame, script)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	dom := browse(t, server.URL, "--dump-dom")
	_, out, _ := strings.Cut(dom, "<output>")
	out, _, _ = strings.Cut(out, "</output>")
	if err := json.Unmarshal([]byte(html.UnescapeString(out)), into); err != nil {
		t.Fatalf("the script returned %q: %v", out, err)
	}
}

// counting is a source with one more start each time that somebody looks.
func counting() debug.Source {
	var looks atomic.Uint64
	return debug.Pacer("counts", func() pacer.Stats {
		return pacer.Stats{Granted: looks.Add(1), Limits: []pacer.LimitStats{{Limit: pacer.Limit{Calls: 20, Period: time.Second}, Used: int(looks.Load())}}}
	})
}

const granted = `const granted = () => Number(doc.querySelector("[data-label=Granted]").textContent);`

func TestPageChangesInPlace(t *testing.T) {
	var got struct {
		First, Last     int
		SameRow         bool
		SameBar         bool
		Selected        string
		ScriptsInMain   int
		HeadingTouched  bool
		AttributesOfBar string
	}
	inFrame(t, debug.Handler(counting()), "", granted+`
		const row = doc.querySelector("tbody tr"), bar = doc.querySelector("rect"), first = granted();
		frame.contentWindow.getSelection().selectAllChildren(doc.querySelector("tbody th bdi"));
		let touched = false;
		new MutationObserver(() => { touched = true; }).observe(doc.querySelector(".heading"), { subtree: true, childList: true, characterData: true, attributes: true });
		await after(3500);
		return {
			First: first, Last: granted(), SameRow: row === doc.querySelector("tbody tr"), SameBar: bar === doc.querySelector("rect"),
			Selected: String(frame.contentWindow.getSelection()), HeadingTouched: touched, AttributesOfBar: bar.getAttribute("width"),
		};`, &got)
	if got.Last < got.First+2 || !got.SameRow || !got.SameBar || got.Selected != "counts" || got.HeadingTouched || got.AttributesOfBar != fmt.Sprint(got.Last*5) {
		t.Errorf("after 3.5 s: %+v", got)
	}
}

func TestHiddenPageAsksForNothing(t *testing.T) {
	var got struct{ Seen, Hidden, Back int }
	inFrame(t, debug.Handler(counting()), "", granted+`
		let hidden = false;
		Object.defineProperty(doc, "hidden", { get: () => hidden });
		const turn = (to) => { hidden = to; doc.dispatchEvent(new Event("visibilitychange")); };
		await after(1500);
		turn(true);
		await after(500);
		const seen = granted();
		await after(4000);
		const still = granted();
		turn(false);
		await after(500);
		return { Seen: seen, Hidden: still, Back: granted() };`, &got)
	if got.Seen < 2 || got.Hidden != got.Seen || got.Back != got.Seen+1 {
		t.Errorf("starts shown: %+v; want the same while hidden, and the next one at once when seen again", got)
	}
}

func TestPageCanBeHeldByKeyboard(t *testing.T) {
	var got struct {
		Held, Still int
		Said, Named string
		On          int
		Reachable   bool
	}
	inFrame(t, debug.Handler(counting()), "", granted+`
		const button = doc.querySelector("button");
		button.focus();
		const reachable = doc.activeElement === button;
		await after(1500);
		button.click(); // as Enter and Space do
		await after(500);
		const held = granted(), said = doc.querySelector("#since").textContent, named = button.textContent;
		await after(4000);
		const still = granted();
		button.click();
		await after(1500);
		return { Held: held, Still: still, Said: said, Named: named, On: granted(), Reachable: reachable };`, &got)
	if !got.Reachable || got.Held < 2 || got.Still != got.Held || got.On <= got.Still || got.Said != "Paused" || got.Named != "Resume" {
		t.Errorf("got %+v", got)
	}
}

func TestPageSaysThatNobodyAnswers(t *testing.T) {
	good := debug.Handler(counting())
	var asked atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n == 1 || n > 4 {
			good.ServeHTTP(w, r)
		} else {
			http.Redirect(w, r, "/login", http.StatusFound) // and what that shows is no page of ours
		}
	})
	var got struct{ Lost, Back, Shown string }
	inFrame(t, h, "", `
		const since = () => doc.querySelector("#since").textContent;
		await after(2500);
		const lost = since(), shown = doc.querySelector("[data-label=Granted]").textContent;
		await after(4000);
		return { Lost: lost, Back: since(), Shown: shown };`, &got)
	if !strings.HasPrefix(got.Lost, "No answer since ") || got.Shown != "1" || got.Back != "Live" {
		t.Errorf("got %+v", got)
	}
}

func TestPageWithoutScriptsShowsTheState(t *testing.T) {
	var got struct {
		Text   string
		Width  string
		Styled string
		Live   bool
	}
	inFrame(t, debug.Handler(counting()), `sandbox="allow-same-origin"`, `
		return {
			Text: doc.body.innerText, Width: doc.querySelector("rect").getAttribute("width"), Live: doc.querySelector("#live").checkVisibility(),
			Styled: frame.contentWindow.getComputedStyle(doc.querySelector("table")).tableLayout,
		};`, &got)
	for _, want := range []string{"All is flowing", "counts", "20/s", "1 of 20", "Reload the page"} {
		if !strings.Contains(got.Text, want) {
			t.Errorf("it does not say %q:\n%s", want, got.Text)
		}
	}
	if got.Width != "5" || got.Live {
		t.Errorf("got %+v", got)
	}
}

// everyKind are sources with all that a page can show, in the longest words.
func everyKind() []debug.Source {
	var k keyed
	for i := range 120 {
		k.add(fmt.Sprint(i), i%11)
	}
	far := time.Now().Add(100 * time.Hour)
	return []debug.Source{
		debug.Pacer(strings.Repeat("long-name", 20), only(pacer.Stats{
			Granted: 1 << 62, Rejected: 1 << 40, Canceled: 1 << 30, Late: 1 << 20, Waiting: 1_000_000, InFlight: 1_000_000, OldestInFlight: time.Now().Add(-100 * time.Hour),
			State: pacer.StateDown, Cause: "5 failures in a row", PausedUntil: far, Next: far, Predicted: far,
			Limits: []pacer.LimitStats{{Limit: pacer.Limit{Cost: 1 << 40, Unit: "micro_tokens", Period: 25 * time.Hour, Bucket: 1 << 41}, Used: 1 << 41, Uncosted: 1 << 40, Next: far}},
			Quotas: []pacer.QuotaStats{{Name: strings.Repeat("quota", 20), Unit: "tokens", Remaining: 1 << 40, Limit: 1 << 41, Reset: far}},
		})),
		counting(),
		debug.Keyed("tenants", &k, nil),
	}
}

func TestNoWidthScrollsSideways(t *testing.T) {
	var got []struct {
		Width, Wide int
		Spilt       []string
	}
	inFrame(t, debug.Handler(everyKind()...), `style="height: 700px; border: 0"`, `
		const all = [];
		for (const width of [320, 390, 620, 621, 900, 1400, 1401, 1600]) {
			frame.style.width = width + "px";
			await after(50);
			const spilt = [...doc.querySelectorAll("main th, main td, main p, main h2, .label, .used, .note")].filter((e) => e.scrollWidth > e.clientWidth + 1);
			all.push({ Width: width, Wide: doc.documentElement.scrollWidth, Spilt: spilt.map((e) => e.textContent) });
		}
		return all;`, &got)
	if len(got) == 0 {
		t.Error("nothing was measured")
	}
	for _, at := range got {
		if at.Wide > at.Width || len(at.Spilt) > 0 {
			t.Errorf("at %d pixels the page is %d wide, and wider than their places are %q", at.Width, at.Wide, at.Spilt)
		}
	}
}

// The picture of a page is that of its styles, which the policy allows: seen by its ground.
func TestPageIsLightOrDarkAsTheReaderLikesIt(t *testing.T) {
	url, _ := serve(t)
	for _, theme := range []struct{ arg, ground string }{{"1", "#fbfbf9"}, {"0", "#101316"}} {
		file := filepath.Join(t.TempDir(), "page.png")
		browse(t, url, "--window-size=800,600", "--blink-settings=preferredColorScheme="+theme.arg, "--screenshot="+file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		r, g, b, _ := picture.At(2, 2).RGBA()
		if got := fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8); got != theme.ground {
			t.Errorf("the ground is %s, want %s", got, theme.ground)
		}
	}
}
