//go:build linux

package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// tcpEstablished is the state of a connection that both sides hold open.
const tcpEstablished = 1

// tcpState asks the kernel for the state of a connection.
func tcpState(c net.Conn) int {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0
	}
	state := 0
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO); err == nil {
			state = int(info.State)
		}
	})
	return state
}
