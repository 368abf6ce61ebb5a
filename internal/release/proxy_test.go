package main

import (
	"archive/zip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// writeFiles makes a folder of files, given by slashed name.
func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readFile(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// zipped is the content of the module's zip, by name in the module. The zip has to obey all rules of one.
func zipped(t *testing.T, proxy string, m module.Version) map[string]string {
	t.Helper()
	name := filepath.Join(proxy, m.Path, "@v", m.Version+".zip")
	checked, err := modzip.CheckZip(m, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := checked.Err(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	files := make(map[string]string)
	for _, f := range r.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		rc.Close()
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(f.Name, m.String()+"/")] = string(data)
	}
	return files
}

func TestLibrariesOfTheCheckoutRequireEachOtherAtTheVersion(t *testing.T) {
	proxy := t.TempDir()
	const version = "v0.999.0"
	release(t, checkout, "-proxy", proxy, "-version", version)

	for _, folder := range libraries {
		m := module.Version{Path: libraryPath(folder), Version: version}
		versions := filepath.Join(proxy, m.Path, "@v")

		if got := readFile(t, versions, "list"); got != version+"\n" {
			t.Errorf("%s: list is %q", m.Path, got)
		}
		var info struct {
			Version string
			Time    time.Time
		}
		if err := json.Unmarshal([]byte(readFile(t, versions, version+".info")), &info); err != nil || info.Version != version || info.Time.IsZero() {
			t.Errorf("%s: info is %+v, %v", m.Path, info, err)
		}
		goMod := readFile(t, versions, version+".mod")
		f, err := modfile.ParseLax("go.mod", []byte(goMod), nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.Module.Mod.Path != m.Path || len(f.Replace) > 0 {
			t.Errorf("%s: go.mod is\n%s", m.Path, goMod)
		}
		var own []string
		for _, r := range f.Require {
			if strings.HasPrefix(r.Mod.Path, rootPath) {
				own = append(own, r.Mod.String())
			}
		}
		if want := []string{rootPath + "@" + version}; folder != "." && !slices.Equal(own, want) || folder == "." && own != nil {
			t.Errorf("%s requires %q of ours", m.Path, own)
		}
		files := zipped(t, proxy, m)
		if files["go.mod"] != goMod {
			t.Errorf("%s: go.mod in the zip is another:\n%s", m.Path, files["go.mod"])
		}
		if files["LICENSE"] != readFile(t, checkout, "LICENSE") {
			t.Errorf("%s: not under the license", m.Path)
		}
	}
}

func TestAReleaseIsWhatATagWouldBe(t *testing.T) {
	files := map[string]string{
		".git/config":                 "no part of it",
		".ci/run":                     "part of it",
		"LICENSE":                     "Do.",
		"go.mod":                      "module " + rootPath + "\n",
		"a.go":                        "package a",
		"pacer/b.go":                  "package b",
		"internal/bench/go.mod":       "module " + rootPath + "/internal/bench\n",
		"internal/bench/c.go":         "package c",
		"otel/.git":                   "gitdir: as in a worktree",
		"otel/LICENSE":                "Do not.",
		"otel/d.go":                   "package d",
		"pacer/redispacer/internal/e": "package e",
		"otel/go.mod": `module github.com/pacedhttp/pacedhttp/otel

go 1.26.0

require (
	example.com/other v0.1.0
	github.com/pacedhttp/pacedhttp v0.1.0
)

require github.com/pacedhttp/pacedhttp/pacer/redispacer v0.1.0 // indirect

replace (
	example.com/other => ../other
	github.com/pacedhttp/pacedhttp => ../
	github.com/pacedhttp/pacedhttp/pacer/redispacer v0.1.0 => ../pacer/redispacer
)
`,
		"pacer/redispacer/go.mod": "module " + rootPath + "/pacer/redispacer\n",
	}
	dir := writeFiles(t, files)
	proxy := filepath.Join(dir, "proxy") // inside of the checkout
	for _, version := range []string{"v0.2.0-RC1", "v0.2.0", "v0.2.0"} {
		release(t, dir, "-proxy", proxy, "-version", version)
	}

	const v = "v0.2.0"
	for path, want := range map[string][]string{
		rootPath:                       {".ci/run", "LICENSE", "a.go", "go.mod", "pacer/b.go"},
		rootPath + "/otel":             {"LICENSE", "d.go", "go.mod"},
		rootPath + "/pacer/redispacer": {"LICENSE", "go.mod", "internal/e"},
	} {
		got := zipped(t, proxy, module.Version{Path: path, Version: v})
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			t.Errorf("%s has %q, want %q", path, names, want)
		}
		license := "Do."
		if path == rootPath+"/otel" {
			license = "Do not."
		}
		if got["LICENSE"] != license {
			t.Errorf("%s: license is %q, want %q", path, got["LICENSE"], license)
		}
		if got, want := readFile(t, proxy, path, "@v", "list"), "v0.2.0-RC1\nv0.2.0\n"; got != want {
			t.Errorf("%s: versions are %q, want %q", path, got, want)
		}
		readFile(t, proxy, path, "@v", "v0.2.0-!r!c1.zip") // capitals are escaped
	}
	const wantMod = `module github.com/pacedhttp/pacedhttp/otel

go 1.26.0

require (
	example.com/other v0.1.0
	github.com/pacedhttp/pacedhttp v0.2.0
)

require github.com/pacedhttp/pacedhttp/pacer/redispacer v0.2.0 // indirect
`
	if got := readFile(t, proxy, rootPath, "otel", "@v", v+".mod"); got != wantMod {
		t.Errorf("go.mod is\n%s, want\n%s", got, wantMod)
	}
}

// A stranger has nothing of ours: an empty folder, no workspace, no module cache that could have another v0.999.0.
// To build what the strangers wrote takes minutes of compiling where nothing of it is cached,
// so CI asks for it and a bare `go test` does not.
func TestStrangersGetAndBuildEveryLibrary(t *testing.T) {
	const version = "v0.999.0"
	proxy := t.TempDir()
	release(t, checkout, "-proxy", proxy, "-version", version)

	env := goEnv(t)
	proxies := []string{fileURL(proxy), fileURL(filepath.Join(env["GOMODCACHE"], "cache", "download")), env["GOPROXY"]}
	vars := append(os.Environ(),
		"GOWORK=off",
		"GOPROXY="+strings.Join(proxies, ","),
		"GOMODCACHE="+t.TempDir(),
		"GOFLAGS=-modcacherw -trimpath", // removable, and compiled once for all these caches
		"CGO_ENABLED=0",
		"GOSUMDB=off", // it cannot know ours; the go.sum files here answer for the others
	)
	const openTelemetry, goRedis = "go.opentelemetry.io/", "github.com/redis/"
	for _, tt := range []struct {
		library string
		program string
		without []string // what its graph of modules must not have
	}{
		{rootPath, `package main

import (
	"time"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
)

func main() {
	pacedhttp.New(nil, pacedhttp.Retry(nil), pacedhttp.Pace(pacer.Burst(10, time.Second))).Client()
}
`, []string{openTelemetry, goRedis}},
		{rootPath + "/otel", `package main

import (
	"github.com/pacedhttp/pacedhttp"
	otelpacedhttp "github.com/pacedhttp/pacedhttp/otel"
)

func main() {
	tel := otelpacedhttp.New()
	pacedhttp.New(nil, tel.Call, pacedhttp.Retry(nil), tel.Attempt).Client()
}
`, []string{goRedis}},
		{rootPath + "/pacer/redispacer", `package main

import (
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pacedhttp/pacedhttp"
	"github.com/pacedhttp/pacedhttp/pacer"
	"github.com/pacedhttp/pacedhttp/pacer/redispacer"
)

func main() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	p, err := redispacer.New(rdb, "key", redispacer.Config{Limits: []pacer.Limit{{Calls: 1, Period: time.Second}}})
	if err != nil {
		panic(err)
	}
	pacedhttp.New(nil, pacedhttp.Pace(p)).Client()
}
`, []string{openTelemetry}},
	} {
		t.Run(tt.library, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{"main.go": tt.program})
			goCommand := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), "go", args...)
				cmd.Dir, cmd.Env = dir, append(vars, "PWD="+dir)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("go %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			goCommand("mod", "init", "example.com/stranger")
			goCommand("get", tt.library) // the latest, which is the only one
			goCommand("list", "-deps")   // every package is there
			if os.Getenv("PACEDHTTP_BUILD_STRANGERS") != "" {
				goCommand("build", "-o", "stranger.exe")
			}

			for _, path := range []string{tt.library, rootPath} {
				if got, want := goCommand("list", "-m", path), path+" "+version+"\n"; got != want {
					t.Errorf("built with %q, want %q", got, want)
				}
			}
			graph := goCommand("mod", "graph")
			for _, path := range tt.without {
				if strings.Contains(graph, path) {
					t.Errorf("%s brings %s:\n%s", tt.library, path, graph)
				}
			}
		})
	}
}

// goEnv is what the go command is set to.
func goEnv(t *testing.T) (env map[string]string) {
	t.Helper()
	out, err := exec.Command("go", "env", "-json", "GOPROXY", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &env); err != nil {
		t.Fatal(err)
	}
	return env
}

// fileURL is also right for C:\proxy.
func fileURL(dir string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(dir), "/")
}
