package redispacer

import (
	"os"
	"testing"

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
	goleak.VerifyTestMain(m)
}
