package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// The first of the sockets that systemd hands over (sd_listen_fds(3)).
const firstSocket = 3

// listen returns where clients come in, and whether the socket is another's, who keeps it open
// when this process ends: then no connection that waits there is lost.
func listen(addr string, getenv func(string) string) (l net.Listener, kept bool, err error) {
	if pid, err := strconv.Atoi(getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		l, err := net.Listen("tcp", addr)
		return l, false, err
	}
	if n := getenv("LISTEN_FDS"); n != "1" {
		return nil, false, fmt.Errorf("LISTEN_FDS is %q, must be 1: the socket of the proxy", n)
	}
	f := os.NewFile(firstSocket, "socket")
	defer f.Close()
	l, err = net.FileListener(f)
	return l, true, err
}
