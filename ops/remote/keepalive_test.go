package remote

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// line is one end of a connection. It takes what is written without waiting for the other end, as a socket does, and can fall
// silent: what is written then never arrives.
type line struct {
	net.Conn
	queue  chan []byte
	silent atomic.Bool
}

func newLine(c net.Conn) *line {
	l := &line{Conn: c, queue: make(chan []byte, 1024)}
	go func() {
		for p := range l.queue {
			if l.silent.Load() {
				continue
			}
			if _, err := c.Write(p); err != nil {
				return
			}
		}
	}()
	return l
}

func (l *line) Write(p []byte) (int, error) {
	l.queue <- bytes.Clone(p)
	return len(p), nil
}

// watched connects to a server over an in-memory line, within the bubble of a synctest.
func watched(t *testing.T, interval time.Duration) (*conn, *line) {
	t.Helper()
	near, far := net.Pipe()
	l, own := newLine(far), newLine(near)
	key := remotetest.NewKey()
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(key.Signer)
	go func() {
		_, channels, requests, err := ssh.NewServerConn(l, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests) // answers keepalives, with a refusal as sshd does
		for c := range channels {
			_ = c.Reject(ssh.Prohibited, "nothing to see")
		}
	}()
	counting := newCountingConn(own)
	client, channels, requests, err := ssh.NewClientConn(counting, "node", &ssh.ClientConfig{User: "u", HostKeyCallback: ssh.FixedHostKey(key.Signer.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(&target{name: "web1", keepalive: interval}, ssh.NewClient(client, channels, requests), counting.received)
	t.Cleanup(func() {
		c.close()
		far.Close()
		near.Close()
		synctest.Wait()
		close(l.queue)
		close(own.queue)
	})
	return c, l
}

// With the default interval a silent line is dead after at least 15 and at most 20 seconds, whenever the silence begins.
func TestSilenceIsNoticedWithin20Seconds(t *testing.T) {
	for _, begin := range []time.Duration{0, time.Second, 4999 * time.Millisecond, 5 * time.Second, 5001 * time.Millisecond, 12 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, l := watched(t, defaultKeepalive)
			time.Sleep(begin)
			synctest.Wait()
			if c.isDead() {
				t.Fatal("dead before the silence")
			}
			l.silent.Store(true)
			start := time.Now()
			<-c.dead
			if took := time.Since(start); took < 15*time.Second || took > 20*time.Second {
				t.Errorf("silence from %v on was noticed after %v", begin, took)
			}
			if !strings.Contains(c.cause.Error(), "no answer for 15s") {
				t.Errorf("cause = %v", c.cause)
			}
			// What is called from now on fails at once, with the cause.
			if err := c.failed(t.Context(), io.EOF); !errors.Is(err, c.cause) {
				t.Errorf("failed = %v", err)
			}
		})
	}
}

func TestQuietLineLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := watched(t, defaultKeepalive)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if c.isDead() {
			t.Errorf("an answering line died: %v", c.cause)
		}
		// An error on a living connection stays what it is.
		if err := c.failed(t.Context(), io.EOF); err != io.EOF { //nolint:errorlint // wrapped would be another error
			t.Errorf("failed = %v", err)
		}
	})
}

// Bytes that arrive are a sign of life even when the answer to a keepalive is stuck behind them.
func TestTrafficCountsAsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := watched(t, defaultKeepalive)
		l.silent.Store(true)
		for range 60 {
			time.Sleep(time.Second)
			c.received.Add(1)
		}
		if c.isDead() {
			t.Errorf("a busy line died: %v", c.cause)
		}
	})
}
