package demo

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// Flags returns the flags of the example of that name. They set c, whose values are their defaults.
func (c *Config) Flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // Refused reports the error
	fs.Usage = func() {}
	fs.Var(Whole{&c.Calls, 1, 10_000}, "calls", "make `N` calls")
	fs.Var(Whole{&c.Goroutines, 1, 1_000}, "goroutines", "make them from `N` goroutines")
	fs.Var(Whole{&c.Quota, 1, 1_000}, "quota", "the server allows `N` requests per period")
	fs.Var(length{&c.Period, 100 * time.Millisecond, time.Minute}, "period", "the `length` of the server's window")
	fs.Var(length{&c.Tolerance, 0, time.Minute}, "tolerance", "the server forgives network jitter up to this `length`")
	fs.Var(Whole{&c.FailEvery, 0, 10_000}, "fail", "the server answers every `N`th request it lets in with 503; 0 = none")
	return fs
}

// Parse reads the flags of [Config.Flags], and those that were added. What -h asks for, about and the flags, is written to
// help, and the error is then [flag.ErrHelp].
func (c *Config) Parse(fs *flag.FlagSet, about string, args []string, help io.Writer) error {
	err := fs.Parse(args)
	switch {
	case err == flag.ErrHelp:
		io.WriteString(help, about)
		fs.SetOutput(help)
		fs.PrintDefaults()
		return err
	case err != nil:
		return err
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: only flags are allowed", fs.Arg(0))
	case c.Tolerance >= c.Period:
		return fmt.Errorf("invalid value %q for flag -tolerance: must be shorter than -period, which is %v", c.Tolerance, c.Period)
	}
	return nil
}

// Refused reports the error of [Config.Parse] and returns the exit code: 2, or 0 for help.
func Refused(name string, err error, stderr io.Writer) (code int) {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v (-h explains the flags)\n", name, err)
	return 2
}
