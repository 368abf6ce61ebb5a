//go:build race

package pacedhttp_test

// worlds is how many are tried of each program: none, since the race detector of go1.26 crashes
// now and then (its own CHECK, or SIGSEGV in the runtime) on so many timers in bubbles; -seeds tries.
const worlds = 0
