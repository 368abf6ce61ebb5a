package redispacer

import (
	"os"
	"testing"
)

func standStill(*os.Process) {} // Windows cannot stop a process
func goOn(*os.Process)       {}

func (s *server) freeze(t *testing.T) { t.Skip("Windows cannot stop a process") }
func (s *server) thaw(*testing.T)     {}
