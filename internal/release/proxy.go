package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const rootPath = "github.com/pacedhttp/pacedhttp"

// libraries are the modules that are released, by their folders. All others are for whoever has the checkout.
var libraries = []string{".", "otel", "pacer/redispacer"}

func libraryPath(folder string) string { return path.Join(rootPath, folder) }

// writeProxy writes the libraries of the checkout to dir, in the layout that `go help goproxy` describes.
func writeProxy(dir, checkout, version string) error {
	for _, folder := range libraries {
		if err := writeModule(dir, checkout, folder, version); err != nil {
			return fmt.Errorf("module %s: %w", libraryPath(folder), err)
		}
	}
	return nil
}

func writeModule(dir, checkout, folder, version string) error {
	m := module.Version{Path: libraryPath(folder), Version: version}
	goMod, err := releasedGoMod(filepath.Join(checkout, folder, "go.mod"), m)
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}

	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return err
	}
	versions := filepath.Join(dir, filepath.FromSlash(m.Path), "@v") // no path of ours has a letter to escape
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	name := filepath.Join(versions, escaped)
	if err := os.WriteFile(name+".mod", goMod, 0o644); err != nil {
		return err
	}
	if err := writeZip(name+".zip", dir, checkout, folder, m); err != nil {
		return err
	}
	if err := os.WriteFile(name+".info", info, 0o644); err != nil {
		return err
	}
	return list(filepath.Join(versions, "list"), version)
}

// releasedGoMod is the go.mod file as it is in the release m.
func releasedGoMod(name string, m module.Version) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: the command is run at the root of the checkout", err)
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, err
	}
	if f.Module == nil || f.Module.Mod.Path != m.Path {
		return nil, fmt.Errorf("%s is of another module: the command is run at the root of the checkout", name)
	}
	for _, r := range f.Require {
		folder, ours := strings.CutPrefix(r.Mod.Path, rootPath+"/")
		switch {
		case r.Mod.Path == rootPath || ours && slices.Contains(libraries, folder):
			if err := f.AddRequire(r.Mod.Path, m.Version); err != nil { // which is there: its version is set
				return nil, err
			}
		case ours:
			return nil, fmt.Errorf("%s requires %s, which is not released: allowed are the modules in %q", name, r.Mod.Path, libraries)
		}
	}
	for _, r := range slices.Clone(f.Replace) {
		if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}

// writeZip packs the module in the folder. Its go.mod is the one already in the proxy; that of a folder without a
// license is the checkout's, as the go command has it for tags.
func writeZip(name, proxy, checkout, folder string, m module.Version) error {
	root := filepath.Join(checkout, filepath.FromSlash(folder))
	files, err := filesBelow(root, proxy)
	if err != nil {
		return err
	}
	replaced := map[string]string{"go.mod": strings.TrimSuffix(name, ".zip") + ".mod"}
	if _, err := os.Stat(filepath.Join(root, "LICENSE")); err != nil {
		replaced["LICENSE"] = filepath.Join(checkout, "LICENSE")
	}
	files = slices.DeleteFunc(files, func(f zip.File) bool { return replaced[f.Path()] != "" })
	for inZip, onDisk := range replaced {
		files = append(files, file{inZip, onDisk})
	}
	slices.SortFunc(files, func(a, b zip.File) int { return strings.Compare(a.Path(), b.Path()) })

	out, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := zip.Create(out, m, files); err != nil { // which leaves out nested modules
		out.Close()
		return err
	}
	return out.Close()
}

// filesBelow leaves out what is no part of a tag: git's own, and the proxy where it is inside the checkout.
func filesBelow(root, proxy string) ([]zip.File, error) {
	proxyInfo, err := os.Stat(proxy)
	if err != nil {
		return nil, err
	}
	var files []zip.File
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			if entry.Name() == ".git" || os.SameFile(info, proxyInfo) {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Name() == ".git" { // a file in a worktree
			return nil
		}
		inZip, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.ToSlash(inZip), name})
		return nil
	})
	return files, err
}

// A file is one of a module's zip.
type file struct{ inZip, onDisk string }

var _ zip.File = file{}

func (f file) Path() string                 { return f.inZip }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.onDisk) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.onDisk) }

// list adds the version to the proxy's list of them.
func list(name, version string) error {
	data, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	versions := strings.Fields(string(data))
	if slices.Contains(versions, version) {
		return nil
	}
	return os.WriteFile(name, []byte(strings.Join(append(versions, version), "\n")+"\n"), 0o644)
}
