// Command release writes a module proxy from the checkout, as if the checkout were tagged: what `go get` of a release
// will find can be tried before there is one. It is run at the root of the checkout.
//
//	go run ./internal/release -proxy DIR -version v0.N.0
//
// DIR is then an entry of GOPROXY, as file://DIR. It gets each library module at that version, requiring the others at
// that version, without replace lines. Versions that DIR has already stay in it.
//
// The command is a module of its own, so that what it needs is nothing to the users of the library.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/module"
)

func main() {
	os.Exit(run(".", os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 1 if there was no proxy to be had of the checkout, 2 for a bad command line.
func run(checkout string, args []string, stdout, stderr io.Writer) int {
	dir, version, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "release: %v (-h explains the flags)\n", err)
		return 2
	}
	if err := writeProxy(dir, checkout, version); err != nil {
		fmt.Fprintf(stderr, "release: %v\n", err)
		return 1
	}
	return 0
}

// parse reads the flags. What -h asks for is written to help, and the error is then [flag.ErrHelp].
func parse(args []string, help io.Writer) (dir, version string, err error) {
	fs := flag.NewFlagSet("release", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run reports the error
	fs.Usage = func() {}
	fs.StringVar(&dir, "proxy", "", "write the module proxy to `DIR`, which is made if it is not there")
	fs.StringVar(&version, "version", "", "the `version` of all modules in it, such as v0.2.0 or v0.2.0-rc.1")

	err = fs.Parse(args)
	switch {
	case err == flag.ErrHelp:
		io.WriteString(help, "release writes a module proxy from the checkout, as if the checkout were tagged.\n\n")
		fs.SetOutput(help)
		fs.PrintDefaults()
		return "", "", err
	case err != nil:
		return "", "", err
	case fs.NArg() > 0:
		return "", "", fmt.Errorf("unexpected argument %q: only flags are allowed", fs.Arg(0))
	case dir == "":
		return "", "", fmt.Errorf("invalid value %q for flag -proxy: must be the folder that the module proxy goes to", dir)
	case module.Check(rootPath, version) != nil || module.CanonicalVersion(version) != version:
		return "", "", fmt.Errorf("invalid value %q for flag -version: must be a full version of major 0 or 1, such as v0.2.0 or v0.2.0-rc.1", version)
	}
	return dir, version, nil
}
