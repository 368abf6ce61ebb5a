//go:build !linux

package sleep

import "time"

// timerLead is zero where there is no thread sleep: the runtime timer waits
// until the learned margin before the instant, and the rest is spun.
const timerLead time.Duration = 0

// threadSleep is never called while timerLead is zero.
func threadSleep(time.Duration) {}
