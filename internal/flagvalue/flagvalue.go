// Package flagvalue has the values of the examples' flags: each has bounds, and its error
// says what is allowed. The flag package puts the flag's name and value before that.
package flagvalue

import (
	"flag"
	"fmt"
	"strconv"
	"time"
)

var (
	_ flag.Value = Whole{}
	_ flag.Value = Length{}
)

// A Whole is a whole number from Min to Max.
type Whole struct {
	Value    *int
	Min, Max int
}

// Set implements [flag.Value].
func (w Whole) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < w.Min || n > w.Max {
		return fmt.Errorf("must be a whole number from %d to %d", w.Min, w.Max)
	}
	*w.Value = n
	return nil
}

// String implements [flag.Value].
func (w Whole) String() string {
	if w.Value == nil { // the flag package asks a zero value for what not to print
		return ""
	}
	return strconv.Itoa(*w.Value)
}

// A Length is a duration from Min to Max.
type Length struct {
	Value    *time.Duration
	Min, Max time.Duration
}

// Set implements [flag.Value].
func (l Length) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < l.Min || d > l.Max {
		return fmt.Errorf("must be a duration from %v to %v, such as 500ms or 1s", l.Min, l.Max)
	}
	*l.Value = d
	return nil
}

// String implements [flag.Value].
func (l Length) String() string {
	if l.Value == nil {
		return ""
	}
	return l.Value.String()
}
