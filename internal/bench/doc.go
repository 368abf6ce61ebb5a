// Package bench compares the pacer with other rate limiters, in one run on one
// machine. It is a module of its own so that nobody who uses pacedhttp depends on
// them:
//
//	cd internal/bench && go test -bench . -count 6 | tee new.txt && benchstat new.txt
package bench
