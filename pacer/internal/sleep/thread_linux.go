package sleep

import (
	"syscall"
	"time"
)

// timerLead is how long before the instant the runtime timer hands over to a
// sleep of the thread: more than the millisecond the timer may be late.
const timerLead = 2 * time.Millisecond

// threadSleep blocks the calling thread for d. It may return early on a signal.
func threadSleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // an interrupted sleep is resumed by the caller, who reads the clock
}
