package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A level is where in net/http the chain is put.
type level string

const (
	// client is between an http.Client and its Transport, whatever that is: where a program
	// that hands an http.Client to an SDK puts it.
	client level = "http.Client"

	// transport is between an *http.Transport and whoever calls it: below the layers of an SDK
	// that is made of RoundTrippers.
	transport level = "other layers"
)

// hooks are the places in net/http where a chain can be put, as old and new text of its files.
// Without a chain set they do what they did.
var hooks = []struct{ file, old, new string }{
	{"client.go", `func (c *Client) transport() RoundTripper {`, `
// BeneathClient, if it is set, is asked for what takes the place of a client's transport.
var BeneathClient func(RoundTripper) RoundTripper

func (c *Client) transport() RoundTripper {
	if BeneathClient != nil {
		return BeneathClient(c.ownTransport())
	}
	return c.ownTransport()
}

func (c *Client) ownTransport() RoundTripper {`},
	{"roundtrip.go", `	return t.roundTrip(req)`, `	if BeneathOthers != nil {
		return BeneathOthers(t, t.roundTrip).RoundTrip(req)
	}
	return t.roundTrip(req)`},
	{"roundtrip.go", `// RoundTrip implements the`, `// BeneathOthers, if it is set, is asked for what takes the place of a Transport, and may send by direct.
var BeneathOthers func(t *Transport, direct func(*Request) (*Response, error)) RoundTripper

// RoundTrip implements the`},
}

// writeOverlay writes files of net/http with the hooks into dir, and there an overlay.json that
// puts them in place of those in goroot, for go test -overlay. It returns that one's name.
func writeOverlay(dir, goroot string) (string, error) {
	replace := map[string]string{}
	for _, h := range hooks {
		original := filepath.Join(goroot, "src", "net", "http", h.file)
		changed, seen := replace[original]
		if !seen {
			changed = filepath.Join(dir, h.file)
			replace[original] = changed
			if err := copyFile(changed, original); err != nil {
				return "", err
			}
		}
		if err := edit(changed, h.old, h.new); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, overlay, 0o644)
}

func copyFile(dst, src string) error {
	text, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	return os.WriteFile(dst, text, 0o644)
}

// edit replaces a text that stands once in a file.
func edit(file, before, after string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(before)); n != 1 {
		return fmt.Errorf("%s has %q %d times, want once: this Go is another than the one that suites knows", file, before, n)
	}
	return os.WriteFile(file, bytes.Replace(text, []byte(before), []byte(after), 1), 0o644)
}

//go:embed chain.go.txt
var chain string

// writeChain adds the file that sets the hooks to the tests of a package.
func writeChain(dir, name string) error {
	text := strings.Replace(chain, "package chain\n", "package "+name+"\n", 1)
	return os.WriteFile(filepath.Join(dir, "zz_pacedhttp_test.go"), []byte(text), 0o644)
}
