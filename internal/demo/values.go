package demo

import (
	"flag"
	"fmt"
	"strconv"
	"time"
)

var (
	_ flag.Value = Whole{}
	_ flag.Value = length{}
)

// A Whole is a flag's value, a whole number from Min to Max. The flag package puts name and value before its error.
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

// length is a duration from min to max.
type length struct {
	value    *time.Duration
	min, max time.Duration
}

func (l length) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < l.min || d > l.max {
		return fmt.Errorf("must be a duration from %v to %v, such as 500ms or 1s", l.min, l.max)
	}
	*l.value = d
	return nil
}

func (l length) String() string {
	if l.value == nil {
		return ""
	}
	return l.value.String()
}
