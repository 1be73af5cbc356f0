package main

import (
	"net"
	"os"
	"strconv"
	"time"
)

// notifier tells systemd how a service does (sd_notify). Without systemd it does nothing.
type notifier struct {
	socket   string
	watchdog time.Duration // 0: systemd wants no signs of life
}

func newNotifier() *notifier {
	n := &notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// send writes one datagram; a service must not fail because nobody listens.
func (n *notifier) send(state string) {
	if n.socket == "" {
		return
	}
	address := n.socket
	if address[0] == '@' { // Linux's abstract sockets
		address = "\x00" + address[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}

func (n *notifier) ready(status string) { n.send("READY=1\nSTATUS=" + status) }

func (n *notifier) stopping() { n.send("STOPPING=1\nSTATUS=draining") }

func (n *notifier) alive() {
	if n.watchdog > 0 {
		n.send("WATCHDOG=1")
	}
}

// every is how often alive must be called; it is long if nobody cares.
func (n *notifier) every() time.Duration {
	if n.watchdog == 0 {
		return time.Hour
	}
	return max(n.watchdog/3, time.Millisecond)
}
