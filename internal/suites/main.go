// Command suites runs the public test suites of SDKs and libraries with our chain beneath, and prints how many of their
// tests pass with it and without. It is run at the root of the checkout, and docs/conformance.md has what it found.
//
//	go run ./internal/suites
//
// The modules are those that examples/sdks requires, as they are in the module cache. Each is copied to a temporary
// folder, where a file is added to the packages under test. How it gets the chain beneath them is told in beneath.go.
// The network is needed for what only their tests require.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
)

// A suite is the tests of some packages of a module.
type suite struct {
	module   string
	packages []string
	level    level
	skip     string // tests that end the whole binary, as go test -skip reads it; docs/conformance.md says why
}

var suites = []suite{
	{module: "github.com/google/go-github/v88", packages: []string{"./github"}, level: client, skip: "^TestDo_rateLimit_abuseRateLimitError_(retryAfter|xRateLimitReset)$"},
	{module: "k8s.io/client-go", packages: []string{"./rest/...", "./transport/..."}, level: transport},
	{module: "connectrpc.com/connect", packages: []string{"."}, level: client},
	{module: "github.com/slack-go/slack", packages: []string{"."}, level: client},
	{module: "golang.org/x/oauth2", packages: []string{"./..."}, level: transport},
}

func main() {
	only := flag.String("only", "", "run only the suites of modules whose path contains `PART`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "module\tbeneath\tmode\ttests\tpassed\tsent through us\tretries of them")
	var differences []string
	for _, s := range suites {
		if !strings.Contains(s.module, only) {
			continue
		}
		results, err := s.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.module, err)
		}
		for _, r := range results {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\n", s.module, s.level, r.mode, len(r.tests), r.passed(), r.sent, r.again)
			for _, d := range results[0].differences(r) {
				differences = append(differences, fmt.Sprintf("%s, %s: %s", s.module, r.mode, d))
			}
		}
	}
	w.Flush()
	fmt.Println()
	fmt.Println(len(differences), "differences")
	for _, d := range differences {
		fmt.Println(d)
	}
	return nil
}
