package server

import (
	"net"
	"os/user"
	"testing"
)

// Redis starts a redis server without persistence and returns its address. args are further redis-server options.
func Redis(t testing.TB, args ...string) string {
	t.Helper()
	addr, _ := RedisProcess(t, FreeAddress(t), args...)
	return addr
}

// RedisProcess is Redis at an address of the caller's choice, with the process, so that a test can stop and restart it.
func RedisProcess(t testing.TB, addr string, args ...string) (string, *Process) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	argv := append([]string{Binary(t, "redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", t.TempDir()}, args...)
	p := Start(t, argv...)
	p.WaitFor("redis", Answers("tcp", addr))
	return addr, p
}

// Memcached starts a memcached server and returns its address. args are further options.
func Memcached(t testing.TB, args ...string) string {
	t.Helper()
	addr := FreeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	argv := append([]string{Binary(t, "memcached"), "-l", "127.0.0.1", "-p", port, "-U", "0"}, args...)
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		argv = append(argv, "-u", "root") // it refuses to run as root without being told
	}
	Start(t, argv...).WaitFor("memcached", Answers("tcp", addr))
	return addr
}
