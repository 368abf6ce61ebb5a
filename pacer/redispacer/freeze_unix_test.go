//go:build !windows

package redispacer

import (
	"os"
	"syscall"
	"testing"
)

// standStill stops a process, which then does not even know that time passes.
func standStill(p *os.Process) { p.Signal(syscall.SIGSTOP) }

func goOn(p *os.Process) { p.Signal(syscall.SIGCONT) }

// freeze stops the server from answering; the system still takes connections for it.
func (s *server) freeze(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		t.Skip("needs a redis-server on PATH")
	}
	s.signal(t, syscall.SIGSTOP)
}

func (s *server) thaw(t *testing.T) { t.Helper(); s.signal(t, syscall.SIGCONT) }

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
