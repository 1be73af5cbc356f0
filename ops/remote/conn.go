package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// readBuffer is for the socket: x/crypto/ssh reads through 4 KiB, which costs a system call for each small packet.
	readBuffer = 64 << 10
	// missedKeepalives is how many unanswered ones make a connection dead. With the default of 5 s and the one that has to
	// go out first, silence is noticed after 20 s at most.
	missedKeepalives = 3
	// maxSessions is OpenSSH's default limit of sessions on a connection (MaxSessions).
	maxSessions = 10
)

// errClosed is the cause of death of a connection that was closed here.
var errClosed = errors.New("the connection was closed")

// conn is one SSH connection. It dies once, with a cause, and is never revived.
type conn struct {
	target   *target
	client   *ssh.Client
	received *atomic.Int64 // bytes, as a sign of life
	sessions *limiter

	once  sync.Once
	dead  chan struct{} // closed at death
	cause error         // set before dead is closed
}

// newConn watches over an established connection.
func newConn(t *target, client *ssh.Client, received *atomic.Int64) *conn {
	c := &conn{target: t, client: client, received: received, dead: make(chan struct{}), sessions: newLimiter(maxSessions)}
	go func() {
		err := client.Wait()
		if err == nil {
			err = errors.New("the node closed it")
		}
		c.die(fmt.Errorf("connection lost: %w", err))
	}()
	go c.keepalive(t.keepalive)
	return c
}

// die ends the connection. Calls that wait for an answer end with cause.
func (c *conn) die(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.dead)
		// Closing may have to wait for a jump host that is dead itself; nobody should wait for that.
		go c.client.Close()
	})
}

func (c *conn) close() { c.die(errClosed) }

func (c *conn) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// keepalive asks for a sign of life every interval and ends the connection when missedKeepalives of them pass without a
// single byte arriving. Traffic counts as an answer, so that a slow line full of data isn't taken for dead.
func (c *conn) keepalive(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	answered := make(chan struct{}, 1)
	waiting, missed, seen := false, 0, c.received.Load()
	for {
		select {
		case <-c.dead:
			return
		case <-answered:
			waiting, missed = false, 0
			continue
		case <-ticker.C:
		}
		now := c.received.Load()
		switch {
		case now != seen:
			seen, missed = now, 0
		case waiting:
			missed++
		}
		if missed >= missedKeepalives {
			c.die(fmt.Errorf("connection lost: no answer for %v", time.Duration(missedKeepalives)*interval))
			return
		}
		if !waiting {
			waiting = true
			go func() {
				if _, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
					answered <- struct{}{}
				}
			}()
		}
	}
}

// failed turns err, with which some call on the connection ended, into the cause of the connection's death if that is why.
// An error may be seen before the death is, so the node is asked for a sign of life.
func (c *conn) failed(ctx context.Context, err error) error {
	alive := make(chan struct{})
	go func() {
		if _, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
			close(alive)
		}
	}()
	select {
	case <-c.dead:
		return unreachable(c.target, c.cause)
	case <-alive:
		return err
	case <-ctx.Done():
		return err
	}
}

// await runs fn, which waits for the node, and gives up on it when ctx ends or the connection dies. What fn returns after
// that is handed to discard, where that is not nil.
func await[T any](ctx context.Context, c *conn, fn func() (T, error), discard func(T)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	if c.isDead() {
		return zero, unreachable(c.target, c.cause)
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := fn()
		done <- outcome{v, err}
	}()
	var gaveUp error
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		gaveUp = ctx.Err()
	case <-c.dead:
		gaveUp = unreachable(c.target, c.cause)
	}
	if discard != nil {
		go func() {
			if o := <-done; o.err == nil {
				discard(o.value)
			}
		}()
	}
	return zero, gaveUp
}

// countingConn reads through a large buffer and counts what arrives.
type countingConn struct {
	net.Conn
	buffered *bufio.Reader
	received *atomic.Int64
}

func newCountingConn(c net.Conn) *countingConn {
	return &countingConn{Conn: c, buffered: bufio.NewReaderSize(c, readBuffer), received: new(atomic.Int64)}
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.buffered.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// limiter bounds the sessions of a connection. Its limit shrinks to what the server is found to allow.
type limiter struct {
	mu     sync.Mutex
	limit  int
	active int           // places taken, by sessions that are open or being opened
	open   int           // sessions that the server has granted
	peak   int           // most of them at once: the server allows so many at least
	held   int           // of the open ones, those that stay open as long as the connection
	freed  chan struct{} // closed and replaced when a place is given back
}

func newLimiter(limit int) *limiter { return &limiter{limit: limit, freed: make(chan struct{})} }

// acquire waits for a free place.
func (l *limiter) acquire(ctx context.Context, dead <-chan struct{}) error {
	for {
		l.mu.Lock()
		if l.active < l.limit {
			l.active++
			l.mu.Unlock()
			return nil
		}
		freed := l.freed
		l.mu.Unlock()
		select {
		case <-freed:
		case <-dead:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// granted says that a place was filled by an open session.
func (l *limiter) granted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	l.peak = max(l.peak, l.open)
	l.limit = max(l.limit, l.peak)
}

// closed gives back the place of a session that was open.
func (l *limiter) closed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.free()
}

// abandoned gives a place back for which there was no answer.
func (l *limiter) abandoned() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free()
}

// refused gives a place back that the server didn't grant, and reports whether others are taken that will be given back.
func (l *limiter) refused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free()
	l.limit = max(l.peak, l.held+1)
	return l.active > l.held
}

// hold says that an open session stays open, or with -1 that it has ended after all. One more may always be asked for then, or
// whoever waits for a place would wait for ever.
func (l *limiter) hold(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held += n
	l.limit = max(l.limit, l.held+1)
	l.wake()
}

// holds reports whether a session stays open.
func (l *limiter) holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held > 0
}

// free gives a place back; l.mu is held.
func (l *limiter) free() {
	l.active--
	l.wake()
}

// wake lets all look again who wait for a place; l.mu is held.
func (l *limiter) wake() {
	close(l.freed)
	l.freed = make(chan struct{})
}
