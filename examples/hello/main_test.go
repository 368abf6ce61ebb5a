package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	main()
	// Output:
	// call 1 200 OK
	// call 2 200 OK
	// call 3 200 OK
	// 5 requests
}
