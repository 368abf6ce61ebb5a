package redispacer

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logging.Disable() // the servers that fail here fail on purpose
	if role := os.Getenv(processEnv); role != "" {
		os.Exit(runProcess(role))
	}
	if role := os.Getenv(callersEnv); role != "" {
		os.Exit(runCallers(role))
	}
	goleak.VerifyTestMain(settled{m})
}

// settled waits for go-redis, which goes on dialing for up to a second after Close.
type settled struct{ *testing.M }

func (m settled) Run() int {
	defer time.Sleep(time.Second)
	return m.M.Run()
}
