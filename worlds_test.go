//go:build !race

package pacedhttp_test

// worlds is how many are tried of each program; see worlds_race_test.go.
const worlds = 8
