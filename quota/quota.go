// Package quota tells what servers say of their quotas.
package quota

import "time"

// A State is what a server said is left of one of its quotas.
type State struct {
	Name      string        // which quota, where the server has several; "" if it has no name
	Unit      string        // what is counted: "tokens"; "" means requests
	Remaining int           // so much is left
	Limit     int           // of so much; 0 means that it was not said
	Reset     time.Duration // until it is whole again; 0 means that it was not said
	Window    time.Duration // the period that Limit is for; 0 means that it was not said
}
