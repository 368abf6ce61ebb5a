// Package bench compares the pacer with other rate limiters, in one run on one
// machine. It is a module of its own so that nobody who uses pacedhttp depends on
// them:
//
//	cd internal/bench && go test -bench . -count 6 | tee new.txt && benchstat new.txt
//
// Those of limiters that share a quota through Redis start a redis-server of their
// own, and are skipped where none is installed.
package bench
